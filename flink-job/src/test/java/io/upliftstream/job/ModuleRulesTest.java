package io.upliftstream.job;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

@AnalyzeClasses(packages = "io.upliftstream.job", importOptions = ImportOption.DoNotIncludeTests.class)
class ModuleRulesTest {
    @ArchTest
    static final ArchRule natives_stay_behind_the_model = noClasses()
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage("ai.djl..", "org.bytedeco..")
            .because("natives live in Flink's lib/, and the job knows the model by its API alone");

    @ArchTest
    static final ArchRule tracing_is_in_one_place = noClasses()
            .that()
            .doNotHaveSimpleName("FrameSpans")
            .and()
            .haveNameNotMatching(".*FrameSpans\\$.*")
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage("io.opentelemetry..")
            .because("nothing of it is loaded where tracing is off");
}
