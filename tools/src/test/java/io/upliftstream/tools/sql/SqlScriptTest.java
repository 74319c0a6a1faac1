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

    /** Nor of those that are written wrongly, for errors show a summary too. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "SET 'fs.s3a.secret.key' = 'it''s; hidden'",
                "SET token= 'hidden'",
                "CREATE MODEL m WITH\n('token' = 'hidden')",
                "CREATE TABLE t (a INT) WITH ('token' 'hidden')",
                "create table t (a int) with ('token' = hidden)",
                "ALTER TABLE t SET ('token' = 'hidden')",
                "SELECT a FROM t /*+ OPTIONS('token' = 'hidden') */",
            })
    void aSummaryHasNoValuesOfOptions(String statement) {
        assertThat(SqlScript.statements(statement).get(0).summary())
                .startsWith(statement.substring(0, 10))
                .endsWith("…")
                .doesNotContain("hidden");
    }

    @Test
    void aParsersWordIsNotToldIfAnOptionHasIt() {
        var statement = new Statement(1, "CREATE TABLE t (variant INT) WITH ('jaas' = 'password='s3cret';')");
        assertThat(statement.withoutOptions("SQL parse failed. Encountered \"s3cret\" at line 1, column 46.\nWas …"))
                .isEqualTo("SQL parse failed. Encountered … at line 1, column 46.\nWas …");
        String keyword = "Encountered \"variant\" at line 1, column 17.";
        assertThat(statement.withoutOptions(keyword)).isEqualTo(keyword);
    }

    @Test
    void aSummaryIsTheBeginning() {
        assertThat(new Statement(1, "WITH a AS (SELECT\n1) SELECT * FROM a").summary())
                .isEqualTo("WITH a AS (SELECT 1) SELECT * FROM a");
        assertThat(new Statement(1, "SELECT " + "a, ".repeat(30) + "b").summary())
                .hasSize(60)
                .endsWith("a…");
    }

    @Test
    void aParserCountsTheLinesOfTheFile() {
        assertThat(SqlScript.statements("SELECT 1;\n\nSELECT 2").get(1).inPlace())
                .isEqualTo("\n\nSELECT 2");
    }
}
