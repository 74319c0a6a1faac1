package io.upliftstream.tools.cli;

import io.upliftstream.job.NearestName;
import java.time.DateTimeException;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.MissingParameterException;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.OverwrittenOptionException;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.TypeConversionException;
import picocli.CommandLine.UnmatchedArgumentException;

/** A command line that cannot be run, in one sentence of what was typed and what was expected, as settings are told. */
final class Mistakes {
    private Mistakes() {}

    /** Makes the values of a command line's options say what was expected of them. */
    static void register(CommandLine commands) {
        commands.registerConverter(Integer.class, converter("a whole number", Integer::valueOf));
        commands.registerConverter(Integer.TYPE, converter("a whole number", Integer::valueOf));
        commands.registerConverter(Long.class, converter("a whole number", Long::valueOf));
        commands.registerConverter(Long.TYPE, converter("a whole number", Long::valueOf));
        commands.registerConverter(Double.class, converter("a number", Double::valueOf));
        commands.registerConverter(Double.TYPE, converter("a number", Double::valueOf));
        commands.registerConverter(Instant.class, converter("a time such as 2026-03-01T12:00:00Z", Instant::parse));
    }

    private static <T> ITypeConverter<T> converter(String expected, Function<String, T> parse) {
        return text -> {
            try {
                return parse.apply(text);
            } catch (NumberFormatException | DateTimeException e) {
                throw refused(text, expected);
            }
        };
    }

    /** For converters: a value that is none. */
    static TypeConversionException refused(String text, String expected) {
        return new TypeConversionException("%s (expected: %s)".formatted(text, expected));
    }

    /** The sentence, without a full stop. */
    static String sentence(ParameterException wrong) {
        CommandSpec command = wrong.getCommandLine().getCommandSpec();
        if (wrong instanceof UnmatchedArgumentException unmatched) {
            return unknown(command, unmatched.getUnmatched().get(0));
        }
        if (wrong instanceof OverwrittenOptionException twice) {
            String value = twice.getOverwritten().paramLabel();
            return "%s is there more than once (expected: one %s%s)"
                    .formatted(
                            name(twice.getOverwritten()),
                            value,
                            value.endsWith("|DIR") ? "; a directory holds many" : "");
        }
        String message = String.valueOf(wrong.getMessage());
        if (wrong instanceof MissingParameterException missing) {
            List<ArgSpec> arguments = missing.getMissing();
            return "%s %s missing (expected: %s)"
                    .formatted(names(arguments), arguments.size() == 1 ? "is" : "are", usage(arguments));
        }
        if (message.equals("Missing required subcommand")) {
            return "%s: no command (expected: %s)"
                    .formatted(command.name(), anyOf(command.subcommands().keySet()));
        }
        ArgSpec argument = wrong.getArgSpec();
        if (argument == null) {
            return message;
        }
        Class<?>[] types = argument.auxiliaryTypes();
        if (types[types.length - 1].isEnum() && message.contains("expected one of")) {
            String typed = message.replaceFirst("(?s).* but was '(.*)'$", "$1");
            return "%s: %s (expected: %s)".formatted(name(argument), typed, anyOf(constants(types[types.length - 1])));
        }
        return message.replaceFirst(
                "^Invalid value for (?:option '[^']*'|positional parameter at index \\d+)(?: \\([^)]*\\))?: ",
                name(argument) + ": ");
    }

    private static String unknown(CommandSpec command, String typed) {
        String option = typed.replaceFirst("=.*", "");
        if (typed.startsWith("-") && !command.options().isEmpty()) {
            Set<String> options = command.options().stream()
                    .map(OptionSpec::longestName)
                    .collect(Collectors.toCollection(TreeSet::new));
            return "%s is no option of %s (expected: one of its options%s)"
                    .formatted(option, command.qualifiedName(), perhaps(", ", option, options));
        }
        Set<String> commands = command.subcommands().keySet();
        return commands.isEmpty()
                ? "%s: %s takes no more words (expected: options, which begin with --)"
                        .formatted(typed, command.qualifiedName())
                : "%s is no command (expected: one of %s%s)"
                        .formatted(typed, String.join(", ", commands), perhaps("; ", typed, commands));
    }

    private static String perhaps(String separator, String typed, Set<String> names) {
        return NearestName.of(typed, names)
                .map(name -> separator + "perhaps " + name)
                .orElse("");
    }

    private static String names(List<ArgSpec> arguments) {
        return arguments.stream().map(Mistakes::name).collect(Collectors.joining(" and "));
    }

    private static String usage(List<ArgSpec> arguments) {
        return arguments.stream()
                .map(argument -> argument.isOption() ? name(argument) + " " + argument.paramLabel() : words(argument))
                .collect(Collectors.joining(" "));
    }

    private static String name(ArgSpec argument) {
        return argument instanceof OptionSpec option ? option.longestName() : argument.paramLabel();
    }

    /** What an argument without a name can be. */
    private static String words(ArgSpec argument) {
        return argument.type().isEnum() ? anyOf(constants(argument.type())) : argument.paramLabel();
    }

    private static Stream<String> constants(Class<?> type) {
        return Arrays.stream(type.getEnumConstants())
                .map(constant -> constant.toString().toLowerCase(Locale.ROOT));
    }

    private static String anyOf(Set<String> names) {
        return anyOf(names.stream());
    }

    private static String anyOf(Stream<String> names) {
        List<String> all = names.toList();
        int last = all.size() - 1;
        return last < 1 ? String.join("", all) : String.join(", ", all.subList(0, last)) + " or " + all.get(last);
    }
}
