package io.upliftstream.tools.sql;

import io.upliftstream.job.StartupException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A text of statements, each ended by a semicolon. One inside a quotation or a comment ends nothing, nor does one inside a
 * statement set, up to its {@code END}. A quotation or a comment without an end would take in the rest of the script, and
 * is refused.
 */
public final class SqlScript {
    /** Comments and quotations, a semicolon, an unfinished one's beginning, or any other character. */
    private static final Pattern TOKEN = Pattern.compile(
            """
            (?xs) (?<comment> --[^\\n]* | /\\*(?!\\+) .*? \\*/ )
            | (?<quotation> '[^']*' | `[^`]*` | "[^"]*" )
            | (?<open> /\\*(?!\\+) | ['`"] )
            | (?<end> ; )
            | (?<word> \\w+ )
            | (?<other> . )""");

    /** What options begin with, or the value of one; and all behind it. */
    private static final Pattern OPTIONS = Pattern.compile("(?is)(\\b(?:WITH|SET|OPTIONS)\\s*\\(|=).*");

    private static final Pattern STUMBLED = Pattern.compile("(?s)Encountered \"(.*?)\" at line");
    private static final Pattern SET_BEGIN = Pattern.compile("(?:EXECUTE|EXPLAIN) STATEMENT SET BEGIN\\b.*");

    /**
     * One statement.
     *
     * @param line where it begins, from 1
     * @param text without the semicolon, its comments blanked out
     */
    public record Statement(int line, String text) {
        /** The text with as many lines before it as in the file, for a parser that counts them. */
        public String inPlace() {
            return "\n".repeat(line - 1) + text;
        }

        /** The beginning, on one line, up to the first option: values of some are passwords. */
        public String summary() {
            String flat = OPTIONS.matcher(text).replaceFirst("$1…").replaceAll("\\s+", " ");
            return flat.length() <= 60 ? flat : flat.substring(0, 59) + "…";
        }

        /** What a parser says of it, without the word that it stumbled over if that is, or may be, one of its options. */
        String withoutOptions(String message) {
            Matcher options = OPTIONS.matcher(text);
            Matcher stumbled = STUMBLED.matcher(message);
            boolean told = options.find()
                    && stumbled.find()
                    && Arrays.stream(stumbled.group(1).split("\\s+")).anyMatch(options.group()::contains);
            return told ? stumbled.replaceFirst("Encountered … at line") : message;
        }
    }

    private SqlScript() {}

    /**
     * The statements of a script, the last with or without a semicolon.
     *
     * @throws StartupException if a comment or a quotation has no end
     */
    public static List<Statement> statements(String script) {
        List<Statement> statements = new ArrayList<>();
        StringBuilder text = new StringBuilder();
        StringBuilder words = new StringBuilder();
        int line = 1;
        Matcher token = TOKEN.matcher(script);
        while (token.find()) {
            if (token.group("open") != null) {
                String begin = token.group();
                throw new StartupException(
                        StartupException.CONFIGURATION,
                        "line %d: %s without an end (expected: %s somewhere behind it)"
                                .formatted(
                                        1 + newlines(script.substring(0, token.start())),
                                        begin,
                                        begin.equals("/*") ? "*/" : "a second one"));
            }
            if (token.group("end") != null) {
                boolean inSet =
                        SET_BEGIN.matcher(words).matches() && !words.toString().endsWith("; END ");
                if (!inSet) {
                    line = add(statements, text, line);
                    words.setLength(0);
                    continue;
                }
                words.append("; ");
            }
            if (token.group("comment") != null) {
                text.append(token.group().replaceAll("[^\\n]", " ")); // lines and columns stay
                continue;
            }
            if (token.group("word") != null) {
                words.append(token.group().toUpperCase(Locale.ROOT)).append(' ');
            }
            text.append(token.group());
        }
        add(statements, text, line);
        return statements;
    }

    /** @return the line on which the next statement's text begins */
    private static int add(List<Statement> statements, StringBuilder text, int line) {
        String all = text.toString();
        int blank = all.length() - all.stripLeading().length();
        int begins = line + newlines(all.substring(0, blank));
        if (!all.isBlank()) {
            statements.add(new Statement(begins, all.strip()));
        }
        text.setLength(0);
        return line + newlines(all);
    }

    private static int newlines(String text) {
        return (int) text.chars().filter(character -> character == '\n').count();
    }
}
