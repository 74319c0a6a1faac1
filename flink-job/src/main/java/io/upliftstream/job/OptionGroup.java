package io.upliftstream.job;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.BiPredicate;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Predicate;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.MemorySize;

/** The options of one concern in the order of the reference, each declared together with the rules for its value. */
final class OptionGroup {
    static final Rule<String> NOT_EMPTY = Rule.of("not empty", text -> !text.isBlank());

    static final Rule<Duration> MILLISECOND = Rule.of(">= 1 ms", time -> time.toMillis() >= 1);

    /** The size of a Kafka record. */
    static final Rule<MemorySize> RECORD_SIZE =
            Rule.of("1 kb to 512 mb", size -> size.getBytes() >= 1 << 10 && size.getBytes() <= 1 << 29);

    private final List<ConfigOption<?>> options = new ArrayList<>();
    private final List<Consumer<JobSettings>> checks = new ArrayList<>();

    /**
     * What an option's value has to be, beside being of its type.
     *
     * @param holds whether the value, among the others of the settings, is possible
     * @param expected the possible values, in words
     */
    record Rule<T>(BiPredicate<T, JobSettings> holds, Function<JobSettings, String> expected) {
        static <T> Rule<T> of(String expected, Predicate<T> holds) {
            return new Rule<>((value, settings) -> holds.test(value), settings -> expected);
        }
    }

    /** Begins the declaration of {@code uplift.name}. */
    static ConfigOptions.OptionBuilder option(String name) {
        return ConfigOptions.key(JobSettings.PREFIX + name);
    }

    /** A constant as users write it: {@code at-least-once} for {@code AT_LEAST_ONCE}. */
    static String text(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** Declares an option; one that has no value breaks no rule. */
    @SafeVarargs
    final <T> ConfigOption<T> add(ConfigOption<T> option, Rule<T>... rules) {
        options.add(option);
        for (Rule<T> rule : rules) {
            checks.add(settings -> settings.check(option, rule));
        }
        return option;
    }

    /** Declares an option without a default that has to be set. */
    <T> ConfigOption<T> required(String expected, ConfigOption<T> option, Rule<T> rule) {
        checks.add(settings -> settings.checkSet(option, expected));
        return add(option, rule);
    }

    List<ConfigOption<?>> options() {
        return options;
    }

    /** @throws StartupException if a value breaks a rule */
    void check(JobSettings settings) {
        checks.forEach(check -> check.accept(settings));
    }
}
