package io.upliftstream.sql;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

@AnalyzeClasses(packages = "io.upliftstream.sql", importOptions = ImportOption.DoNotIncludeTests.class)
class ModuleRulesTest {
    @ArchTest
    static final ArchRule natives_stay_behind_the_model = noClasses()
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage("ai.djl..", "org.bytedeco..")
            .because("natives live in Flink's lib/, and SQL knows the model by its API alone");

    @ArchTest
    static final ArchRule sql_knows_neither_the_job_nor_the_planner = noClasses()
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage(
                    "io.upliftstream.job..",
                    "io.upliftstream.tools..",
                    "org.apache.kafka..",
                    "org.apache.flink.table.planner..",
                    "org.apache.flink.table.runtime..")
            .because("it is a library for any Flink that has a planner");
}
