package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.model.ModelBundle;
import io.upliftstream.schemas.ModelAction;
import io.upliftstream.schemas.ModelAnswer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.util.AbstractStreamOperatorTestHarness;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;

/** What the operator's state keeps of commands, and what it does without it. */
class ModelRestoreTest extends ControlledTest {
    private static final String STATE_OF_VERSION_1 =
            """
            {"version":1,"offset":7,"serving":%s,"headsOff":["depth"],"seen":["c-1"]}""";

    private static final String AWAY = "{\"commandId\":\"c-1\",\"bundle\":\"nowhere://models/two\",\"sha256\":\""
            + "00".repeat(32) + "\",\"fromMicros\":%d}";

    @Test
    void everySubtaskServesWhatItServedAfterARescale() throws Exception {
        var harness = openControlled(1, 0, null);
        await(harness, control.send(activate("c-1", bundle("two"))));
        await(harness, control.send(activate("c-2", bundle("three")).setFromCaptureTimeMicros(CAPTURED + 1)));
        await(harness, control.send(command("c-3", ModelAction.HEAD_OFF).setHead("depth")));
        OperatorSubtaskState state = harness.snapshot(1, 1);
        deleteSources();

        for (int subtask = 0; subtask < 2; subtask++) {
            OperatorSubtaskState share =
                    AbstractStreamOperatorTestHarness.repartitionOperatorState(state, 3, 1, 2, subtask);
            var scaled = openControlled(2, subtask, share);
            assertThat(control.offset).isEqualTo(8);
            engine("two").answerAll();
            engine("three").answerAll();
            process(scaled, TestFrames.cameraFrame("north", 0));
            process(scaled, captured("north", 1, CAPTURED + 1));
            await(scaled, control.send(command("c-4", ModelAction.ROLL_BACK)));
            await(scaled, control.send(command("c-5", ModelAction.ROLL_BACK)));
            runMails(scaled);
            assertThat(served(scaled)).containsExactly("0 two", "1 three");
            assertThat(answers(scaled))
                    .containsExactly("c-2 ACTIVATED three", "c-4 ROLLED_BACK two", "c-5 ROLLED_BACK three");
        }
    }

    @Test
    void aModelThatServedAndCannotBeHadEndsTheStart() throws Exception {
        var harness = openControlled(1, 0, null);
        await(harness, control.send(activate("c-1", bundle("two"))));
        OperatorSubtaskState state = harness.snapshot(1, 1);
        deleteSources();
        deleteCache();

        assertThatThrownBy(() -> openControlled(1, 0, state))
                .isInstanceOf(StartupException.class)
                .hasMessageContaining("the model that served")
                .hasMessageContaining("of command c-1, cannot be had");
    }

    @Test
    void withoutAControlTopicNothingIsInState() throws Exception {
        var harness = open();

        assertThat(harness.snapshot(1, 1).getManagedOperatorState()).isEmpty();
    }

    @Test
    void aStateFromBeforeCommandsStartsAJobThatTakesThem() throws Exception {
        OperatorSubtaskState state = open().snapshot(1, 1);

        var harness = openControlled(1, 0, state);
        await(harness, control.send(command("c-1", ModelAction.STATUS)));

        assertThat(answers(harness)).containsExactly("c-1 SERVING configured");
    }

    @Test
    void aScheduledModelThatServesGoesOnAndIsNotActivatedAgain() throws Exception {
        var harness = openControlled(1, 0, null);
        await(harness, control.send(activate("c-1", bundle("two")).setFromCaptureTimeMicros(CAPTURED + 1)));
        engine("two").answerAll();
        process(harness, captured("north", 0, CAPTURED + 1));
        OperatorSubtaskState state = harness.snapshot(1, 1);

        var again = openControlled(1, 0, state);
        process(again, captured("north", 1, CAPTURED + 2));
        await(again, control.send(command("c-2", ModelAction.STATUS)));
        await(again, control.send(command("c-3", ModelAction.ROLL_BACK)));

        assertThat(answers(again)).containsExactly("c-2 SERVING two", "c-3 ROLLED_BACK configured");
    }

    @Test
    void aScheduledModelThatServedAndCannotBeHadEndsTheStart() throws Exception {
        var harness = openControlled(1, 0, null);
        await(harness, control.send(activate("c-1", bundle("two")).setFromCaptureTimeMicros(CAPTURED + 1)));
        OperatorSubtaskState scheduled = harness.snapshot(1, 1);
        engine("two").answerAll();
        process(harness, captured("north", 0, CAPTURED + 1));
        OperatorSubtaskState served = harness.snapshot(2, 2);
        deleteSources();
        deleteCache();

        assertThat(answers(openControlled(1, 0, scheduled))).containsExactly("c-1 REFUSED configured");
        assertThatThrownBy(() -> openControlled(1, 0, served))
                .isInstanceOf(StartupException.class)
                .hasMessageContaining("the model that served");
    }

    @Test
    void anotherControlTopicIsReadFromItsStart() throws Exception {
        var harness = openControlled(1, 0, null);
        await(harness, control.send(activate("c-1", bundle("two"))));
        OperatorSubtaskState state = harness.snapshot(1, 1);
        control.offset = 2;
        control.topic = "control-2";

        var moved = openControlled(1, 0, state);
        assertThat(control.offset).isEqualTo(2);
        await(moved, control.send(command("c-2", ModelAction.STATUS)));

        assertThat(answers(moved)).containsExactly("c-2 SERVING two");
        OperatorSubtaskState later = moved.snapshot(2, 2);
        control.offset = 99;
        openControlled(1, 0, later);
        assertThat(control.offset).as("the topic is the same").isEqualTo(3);
    }

    @Test
    void aStateThatDoesNotNameItsTopicIsReadAsOfThisOne() throws Exception {
        Path two = bundle("two");
        String serving = "{\"commandId\":\"c-1\",\"bundle\":\"%s\",\"sha256\":\"%s\",\"fromMicros\":%d}"
                .formatted(two, ModelBundle.load(two).sha256(), Activation.NOW);

        var harness = openControlled(1, 0, state(STATE_OF_VERSION_1.formatted(serving)));
        assertThat(control.offset).isEqualTo(7);
        await(harness, control.send(command("c-1", ModelAction.STATUS)));
        await(harness, control.send(command("c-2", ModelAction.STATUS)));

        List<ModelAnswer> answers = decode(harness, "model-answers", ModelAnswer.class);
        assertThat(answers(harness)).containsExactly("offset 7 REFUSED two", "c-2 SERVING two");
        assertThat(answers.get(1).getHeadsOff()).containsExactly("depth");
    }

    @Test
    void aStateOfALaterReleaseIsRefused() throws Exception {
        OperatorSubtaskState state = state("{\"version\":3}");

        assertThatThrownBy(() -> openControlled(1, 0, state))
                .hasStackTraceContaining("version 3 (expected: 1 to 2, or a newer release)");
    }

    /** Such a store may be away for a while: the restart strategy tries again. */
    @Test
    void aStoreThatThrowsFailsTheStartButDoesNotEndTheJob() throws Exception {
        OperatorSubtaskState state = state(STATE_OF_VERSION_1.formatted(AWAY.formatted(Activation.NOW)));

        assertThatThrownBy(() -> openControlled(1, 0, state, "uplift.control.bundles.allowed", "nowhere://models"))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("the model that served, nowhere://models/two of command c-1, cannot be had: ");
    }

    /** Other subtasks may reach it: all of them serve it, or none. */
    @Test
    void aScheduledModelWhoseStoreThrowsIsNotGivenUp() throws Exception {
        String configured =
                "{\"commandId\":\"\",\"bundle\":\"\",\"sha256\":\"\",\"fromMicros\":%d}".formatted(Activation.NOW);
        OperatorSubtaskState state =
                state(STATE_OF_VERSION_1.formatted(configured + ",\"next\":" + AWAY.formatted(CAPTURED + 1)));

        assertThatThrownBy(() -> openControlled(1, 0, state, "uplift.control.bundles.allowed", "nowhere://models"))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("the scheduled model, nowhere://models/two of command c-1, cannot be fetched: ");
    }

    /** The state of an operator that wrote this. */
    private OperatorSubtaskState state(String json) throws Exception {
        var harness = new OneInputStreamOperatorTestHarness<>(new Writing(json), 3, 1, 0);
        opened.add(harness);
        harness.open();
        return harness.snapshot(1, 1);
    }

    @SuppressWarnings("serial") // never serialised
    private static final class Writing extends AbstractStreamOperator<OutputMessage>
            implements OneInputStreamOperator<RawFrame, OutputMessage> {
        private final String json;

        Writing(String json) {
            this.json = json;
        }

        @Override
        public void initializeState(StateInitializationContext context) throws Exception {
            super.initializeState(context);
            context.getOperatorStateStore()
                    .getBroadcastState(ControlState.DESCRIPTOR)
                    .put(ControlState.DESCRIPTOR.getName(), json.getBytes(StandardCharsets.UTF_8));
        }

        @Override
        public void processElement(StreamRecord<RawFrame> element) {}
    }

    private void deleteCache() throws IOException {
        try (Stream<Path> files = Files.walk(directory.resolve("cache"))) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                Files.delete(file);
            }
        }
    }
}
