package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.model.BundleException;
import io.upliftstream.model.ModelOptions;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import org.apache.flink.api.common.externalresource.ExternalResourceInfo;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class GpuShareTest {
    private static final List<Resource> NO_RESOURCES = List.of();

    private final List<GpuShare> shares = new ArrayList<>();

    @AfterEach
    void giveBack() {
        shares.forEach(GpuShare::close);
    }

    @Test
    void subtasksOfOneProcessTakeAllGpusBeforeTheyShareOne() throws Exception {
        assertThat(take("cuda", 0, 2, NO_RESOURCES)).isEqualTo("cuda:0");
        assertThat(take("cuda", 2, 2, NO_RESOURCES)).isEqualTo("cuda:1"); // by its index that would be 0
        assertThat(take("auto", 1, 2, NO_RESOURCES)).isEqualTo("auto:1");
        assertThat(take("auto", 3, 2, NO_RESOURCES)).isEqualTo("auto:0");
    }

    @Test
    void subtasksOfTwoProcessesOnOneMachineTakeDifferentGpus() throws Exception {
        // this process has the even ones
        assertThat(take("cuda", 0, 4, NO_RESOURCES)).isEqualTo("cuda:0");
        assertThat(take("cuda", 2, 4, NO_RESOURCES)).isEqualTo("cuda:2");
        giveBack();
        assertThat(take("cuda", 1, 4, NO_RESOURCES)).isEqualTo("cuda:1");
        assertThat(take("cuda", 3, 4, NO_RESOURCES)).isEqualTo("cuda:3");
    }

    @Test
    void whatFlinkGivesTheTaskManagerComesFirst() throws Exception {
        List<Resource> second = List.of(new Resource("1"));
        assertThat(take("cuda", 0, 2, second)).isEqualTo("cuda:1");
        List<Resource> both = List.of(new Resource("3"), new Resource("2"));
        assertThat(take("auto", 0, 4, both)).isEqualTo("auto:2");
        assertThat(take("auto", 1, 4, both)).isEqualTo("auto:3");
    }

    @Test
    void aGpuIsFreeOnceItsSubtaskIsClosed() throws Exception {
        take("cuda", 0, 2, NO_RESOURCES);
        shares.get(0).close();
        shares.get(0).close();
        assertThat(take("cuda", 0, 2, NO_RESOURCES)).isEqualTo("cuda:0");
        assertThat(take("cuda", 0, 2, NO_RESOURCES)).isEqualTo("cuda:1");
    }

    @Test
    void leavesTheDeviceAloneWhereNothingIsToChoose() throws Exception {
        assertThat(take("auto", 1, 0, NO_RESOURCES)).isEqualTo("auto");
        assertThat(take("cuda", 1, 1, NO_RESOURCES)).isEqualTo("cuda");
        GpuShare.Driver unasked = () -> {
            throw new BundleException("PyTorch was asked");
        };
        for (String device : List.of("cpu", "cuda:1", "auto:1")) {
            ModelOptions asked = new ModelOptions(device, "auto", 0);
            assertThat(GpuShare.take(asked, 0, NO_RESOURCES, unasked).model()).isEqualTo(asked);
        }
    }

    @Test
    void aResourceWithoutAnIndexIsOneSentence() {
        for (Resource wrong : List.of(new Resource(null), new Resource("GPU-5f0a"))) {
            assertThatThrownBy(() -> take("cuda", 0, 2, List.of(wrong)))
                    .isInstanceOf(StartupException.class)
                    .hasMessageMatching("external resource gpu: index (none|GPU-5f0a) "
                            + "\\(expected: a number, as of Flink's GPU plugin\\)");
        }
    }

    private String take(String device, int subtask, int usable, Collection<Resource> resources) throws Exception {
        GpuShare share = GpuShare.take(new ModelOptions(device, "auto", 0), subtask, resources, () -> usable);
        shares.add(share);
        return share.model().device();
    }

    /** As Flink's GPU driver gives it. */
    private record Resource(@Nullable String index) implements ExternalResourceInfo {
        @Override
        public Optional<String> getProperty(String key) {
            return key.equals("index") ? Optional.ofNullable(index) : Optional.empty();
        }

        @Override
        public Collection<String> getKeys() {
            return List.of("index");
        }
    }
}
