package io.upliftstream.model;

import static com.tngtech.archunit.base.DescribedPredicate.not;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.belongToAnyOf;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

@AnalyzeClasses(packages = "io.upliftstream.model", importOptions = ImportOption.DoNotIncludeTests.class)
class ModuleRulesTest {
    @ArchTest
    static final ArchRule KNOWS_NO_STREAMING = noClasses()
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage("org.apache.flink..", "org.apache.kafka..", "org.apache.avro..")
            .because("a bundle must be usable without a cluster, a broker or a schema");

    @ArchTest
    static final ArchRule ONLY_THE_MODEL_KNOWS_DJL = noClasses()
            .that(not(belongToAnyOf(
                    PyTorch.class,
                    TorchGraph.class,
                    Placement.class,
                    DenseModel.class,
                    OutputArrays.class,
                    Lane.class,
                    Lanes.class,
                    NativeLane.class,
                    BilinearResize.class,
                    MatrixPeak.class)))
            .should()
            .dependOnClassesThat()
            .resideInAPackage("ai.djl..");
}
