package io.upliftstream.tools.sql;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.job.StartupException;
import io.upliftstream.tools.sql.SqlScript.Statement;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SqlScriptTest {
    @Test
    void semicolonsInQuotationsAndCommentsEndNothing() {
        String script =
                """
                -- first; of all
                SET 'a;b' = 'it''s; c'; /* none; here */

                SELECT `x;y`, "z;" -- why; not
                FROM t /*+ OPTIONS('k;' = 'v') */
                ;;
                SELECT 1""";

        assertThat(SqlScript.statements(script))
                .containsExactly(
                        new Statement(2, "SET 'a;b' = 'it''s; c'"),
                        new Statement(
                                4, "SELECT `x;y`, \"z;\"" + " ".repeat(12) + "\nFROM t /*+ OPTIONS('k;' = 'v') */"),
                        new Statement(7, "SELECT 1"));
    }

    @Test
    void aStatementSetIsOneStatement() {
        String set =
                "EXECUTE STATEMENT SET\nBEGIN\nINSERT INTO a SELECT CASE b WHEN 1 THEN 2 END;\nINSERT INTO c SELECT d; END";

        assertThat(SqlScript.statements(set + ";\nSHOW TABLES;"))
                .containsExactly(new Statement(1, set), new Statement(5, "SHOW TABLES"));
    }

    /** What follows would silently not be run otherwise. */
    @ParameterizedTest
    @ValueSource(strings = {"/*", "'", "`", "\""})
    void whatHasNoEndIsRefusedWithItsLine(String begin) {
        assertThatThrownBy(() -> SqlScript.statements("SELECT 'it''s';\n-- '\nSELECT " + begin + " 1;\nSELECT 2;"))
                .isInstanceOf(StartupException.class)
                .hasMessageContaining("line 3: " + begin + " without an end (expected: ");
    }

    @Test
    void commentsAloneAreNoStatement() {
        assertThat(SqlScript.statements(" \n-- nothing\n;")).isEmpty();
    }

    @Test
    void aParserCountsTheLinesOfTheFile() {
        assertThat(SqlScript.statements("SELECT 1;\n\nSELECT 2").get(1).inPlace())
                .isEqualTo("\n\nSELECT 2");
    }
}
