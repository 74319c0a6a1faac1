package io.upliftstream.schemas;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

@AnalyzeClasses(packages = "io.upliftstream.schemas", importOptions = ImportOption.DoNotIncludeTests.class)
class ModuleRulesTest {
    @ArchTest
    static final ArchRule NEEDS_AVRO_AND_ZSTD_ALONE = classes()
            .should()
            .onlyDependOnClassesThat()
            .resideInAnyPackage(
                    "io.upliftstream.schemas",
                    "java..",
                    "javax.net.ssl..",
                    "com.fasterxml.jackson..",
                    "org.apache.avro..",
                    "com.github.luben.zstd..",
                    "org.jspecify.annotations..")
            .because("a subscriber adds this module and nothing else");
}
