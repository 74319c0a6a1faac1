package io.upliftstream.tools;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

/** Which part of this module may know which. */
@AnalyzeClasses(packages = "io.upliftstream.tools", importOptions = ImportOption.DoNotIncludeTests.class)
class ModuleRulesTest {
    @ArchTest
    static final ArchRule NO_ENGINE = noClasses().should().dependOnClassesThat().resideInAnyPackage("ai.djl..");

    @ArchTest
    static final ArchRule CAMERAS_KNOW_NO_STREAMS = noClasses()
            .that()
            .resideInAnyPackage("..tools.street..", "..tools.camera..", "..tools.picture..")
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage("org.apache.kafka..", "org.apache.flink..", "io.upliftstream.job..");

    @ArchTest
    static final ArchRule STREETS_STAND_ALONE = classes()
            .that()
            .resideInAPackage("..tools.street..")
            .should()
            .onlyDependOnClassesThat()
            .resideInAnyPackage("java..", "..tools.street..", "org.jspecify..");

    @ArchTest
    static final ArchRule KAFKA_SERVER_ONLY_EMBEDDED = noClasses()
            .that()
            .resideOutsideOfPackage("..tools.embedded..")
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage("kafka..", "org.apache.kafka.metadata..", "org.apache.flink.runtime..");

    @ArchTest
    static final ArchRule NOTHING_KNOWS_THE_COMMAND_LINE = noClasses()
            .that()
            .resideOutsideOfPackage("..tools.cli..")
            .should()
            .dependOnClassesThat()
            .resideInAPackage("..tools.cli..");
}
