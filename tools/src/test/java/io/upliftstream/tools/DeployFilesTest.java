package io.upliftstream.tools;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.MappingIterator;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.OutputOptions;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.tools.cli.Uplift;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.runtime.clusterframework.TaskExecutorProcessSpec;
import org.apache.flink.runtime.clusterframework.TaskExecutorProcessUtils;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** No container runs here: what can be checked of {@code docker-compose.yml} and {@code deploy} as text. */
class DeployFilesTest {
    private static final Path ROOT = Path.of("..");
    private static final Path KUBERNETES = ROOT.resolve("deploy/kubernetes");
    private static final YAMLMapper YAML = new YAMLMapper();

    @Test
    void everyYamlFileCanBeRead() throws IOException {
        try (Stream<Path> files = Files.walk(ROOT.resolve("deploy"))) {
            List<Path> yaml = files.filter(file ->
                            file.toString().endsWith(".yaml") || file.toString().endsWith(".yml"))
                    .toList();
            assertThat(yaml).hasSizeGreaterThan(10);
            for (Path file : yaml) {
                assertThat(documents(file)).as(file.toString()).isNotEmpty();
            }
        }
    }

    @Test
    void composeNamesWhatExists() throws IOException {
        JsonNode compose = documents(ROOT.resolve("docker-compose.yml")).get(0);
        Set<String> stages = matches(dockerfile(), "(?m)^FROM \\S+ AS (\\w+)$");
        for (Map.Entry<String, JsonNode> service : compose.path("services").properties()) {
            String name = service.getKey();
            JsonNode build = service.getValue().path("build");
            if (!build.isMissingNode()) {
                assertThat(ROOT.resolve(build.path("dockerfile").asText()))
                        .as(name)
                        .exists();
                assertThat(stages).as(name).contains(build.path("target").asText());
            }
            for (JsonNode volume : service.getValue().path("volumes")) {
                String source = volume.asText().split(":", 2)[0];
                if (source.startsWith("./")) {
                    assertThat(ROOT.resolve(source)).as(name).exists();
                } else {
                    assertThat(compose.path("volumes").has(source)).as(source).isTrue();
                }
            }
            for (JsonNode before : service.getValue().path("depends_on")) {
                assertThat(compose.path("services").has(before.asText()) || before.isObject())
                        .as(name)
                        .isTrue();
            }
            if (service.getValue().path("image").asText().equals("uplift-stream:tools")) {
                // Throws where the command line would not take it.
                new CommandLine(new Uplift())
                        .parseArgs(service.getValue().path("command").asText().split(" ", -1));
            }
        }
        assertThat(compose.at("/services/topics/command").asText())
                .contains("--topic " + InputOptions.INPUT_TOPIC.defaultValue() + " ");
        assertThat(compose.at("/services/jobmanager/command").asText())
                .contains("--job-classname io.upliftstream.job.DenseVisionJob -- --config ");
    }

    @Test
    void theCudaImageBuildsTheOperatorsAndNamesThem() throws IOException {
        String stage = dockerfile().split("FROM job AS cuda\n", 2)[1].split("\nFROM ", 2)[0];
        String copied = "/build/libuplift_operators.so /opt/uplift/lib/\n";
        assertThat(stage)
                .contains("COPY --from=operators " + copied)
                .contains("PYTORCH_EXTRA_LIBRARY_PATH=/opt/uplift/lib/libuplift_operators.so\n")
                .contains("PYTORCH_LIBRARY_PATH=/opt/python/torch/jvm ");
        assertThat(dockerfile())
                .contains("COPY model/cuda/ /src/\nRUN /src/build /build ")
                .contains("cd /opt/python/torch/jvm && ln -s ../lib/*.so* . ");
        assertThat(ROOT.resolve("model/cuda/build")).isExecutable();
        assertThat(Files.readString(ROOT.resolve("model/cuda/CMakeLists.txt")))
                .contains("add_library(uplift_operators SHARED");
    }

    @Test
    void jobFilesHaveOptionsThatExistAndPathsOfTheImage() throws IOException {
        for (Path file : List.of(ROOT.resolve("deploy/job.yaml"), KUBERNETES.resolve("base/job.yaml"))) {
            JobSettings settings = JobSettings.load(file, Map.of(), List.of());
            String bundle = settings.get(ServingOptions.MODEL_BUNDLE);
            assertThat(bundle).isEqualTo("/opt/uplift/bundles/street");
            assertThat(dockerfile()).contains("model/bundles/ /opt/uplift/bundles/\n");
        }
    }

    @Test
    void theJobFileOfTheRootCanBeUsedWithAndWithoutWhatIsCommentedOut(@TempDir Path directory) throws IOException {
        String text = Files.readString(ROOT.resolve("job.yaml"));
        List<String> shipped =
                List.of("uplift.model.bundle=model/bundles/street"); // what uplift takes if none is named
        JobSettings asItIs = JobSettings.load(ROOT.resolve("job.yaml"), Map.of(), shipped);
        assertThat(asItIs.get(InputOptions.BOOTSTRAP_SERVERS)).isEqualTo(InputOptions.BOOTSTRAP_SERVERS.defaultValue());

        Path all = Files.writeString(directory.resolve("job.yaml"), text.replaceAll("(?m)^#(?=\\S)", ""));
        JobSettings settings = JobSettings.load(all, Map.of(), List.of()); // refuses keys of ours that do not exist
        Set<String> flinkKeys = settings.flinkConfiguration().keySet();
        assertThat(flinkKeys)
                .isNotEmpty()
                .isSubsetOf(Stream.of(
                                RestartStrategyOptions.RESTART_STRATEGY,
                                RestartStrategyOptions.RESTART_STRATEGY_EXPONENTIAL_DELAY_MAX_BACKOFF,
                                CheckpointingOptions.EXTERNALIZED_CHECKPOINT_RETENTION,
                                CheckpointingOptions.MAX_RETAINED_CHECKPOINTS)
                        .map(ConfigOption::key)
                        .toList());
        Set<String> kafkaKeys = settings.kafkaProperties().stringPropertyNames();
        assertThat(AdminClientConfig.configNames()).containsAll(kafkaKeys);
    }

    /** As Flink's start scripts do: what they cannot divide up does not start. */
    @Test
    void theMemoryOfATaskManagerCanBeDividedUp() throws IOException {
        Map<String, String> stock = Map.of( // of the config.yaml that Flink 2.2.1 comes with
                "taskmanager.memory.process.size", "1728m", "taskmanager.numberOfTaskSlots", "1");
        Matcher documented = Pattern.compile("```yaml\n([^`]*taskmanager\\.memory[^`]*)```")
                .matcher(Files.readString(ROOT.resolve("docs/deploy.md")));
        assertThat(documented.find()).isTrue();
        JsonNode kubernetes =
                documents(KUBERNETES.resolve("base/deployment.yaml")).get(0).path("spec");
        JsonNode compose = documents(ROOT.resolve("docker-compose.yml")).get(0).path("services");
        for (JsonNode set : List.of(
                YAML.readTree(documented.group(1).indent(0)),
                YAML.readTree(
                        compose.at("/jobmanager/environment/FLINK_PROPERTIES").asText()),
                ((ObjectNode) kubernetes.path("flinkConfiguration").deepCopy())
                        .set("taskmanager.memory.process.size", kubernetes.at("/taskManager/resource/memory")))) {
            Map<String, String> values = new HashMap<>(stock);
            set.properties()
                    .forEach(
                            entry -> values.put(entry.getKey(), entry.getValue().asText()));
            TaskExecutorProcessSpec memory =
                    TaskExecutorProcessUtils.processSpecFromConfig(Configuration.fromMap(values));
            assertThat(memory.getTaskOffHeapSize()).isEqualTo(MemorySize.parse("2g"));
            assertThat(memory.getManagedMemorySize()).isEqualTo(MemorySize.ZERO);
            assertThat(memory.getTaskHeapSize()).isGreaterThan(MemorySize.parse("512m"));
        }
    }

    @Test
    void theVersionIsTheSameEverywhere() throws IOException {
        String version = matches(
                        Files.readString(ROOT.resolve("pom.xml")), "uplift-stream</artifactId>\\s*<version>(.*)<")
                .iterator()
                .next();
        Map<String, String> places = Map.of(
                "schemas/examples/pom.xml", "uplift-stream-schemas</artifactId>\\s*<version>(.*)<",
                "docs/subscribe.md", "uplift-stream-schemas</artifactId>\\s*<version>(.*)<",
                "docs/deploy.md", "uplift-stream-flink-job-(.*)-job.jar");
        for (Map.Entry<String, String> place : places.entrySet()) {
            assertThat(matches(Files.readString(ROOT.resolve(place.getKey())), place.getValue()))
                    .as(place.getKey())
                    .containsExactly(version);
        }
        String released = version.replace("-SNAPSHOT", "");
        for (String project : List.of("model/toolkit", "schemas/python")) {
            assertThat(matches(
                            Files.readString(ROOT.resolve(project).resolve("pyproject.toml")),
                            "(?m)^version = \"(.*)\"$"))
                    .as(project)
                    .containsExactly(released);
        }
        String kafka = matches(Files.readString(ROOT.resolve("pom.xml")), "<kafka.version>(.*)<")
                .iterator()
                .next();
        assertThat(matches(
                        Files.readString(ROOT.resolve("schemas/examples/pom.xml")),
                        "kafka-clients</artifactId>\\s*<version>(.*)<"))
                .containsExactly(kafka);
    }

    @Test
    void kubernetesNamesWhatExists() throws IOException {
        for (String folder : List.of("base", "cpu", "gpu")) {
            JsonNode kustomization = documents(KUBERNETES.resolve(folder + "/kustomization.yaml"))
                    .get(0);
            List<String> files = new ArrayList<>();
            kustomization.path("resources").forEach(resource -> files.add(resource.asText()));
            kustomization
                    .path("patches")
                    .forEach(patch -> files.add(patch.path("path").asText()));
            kustomization.at("/configMapGenerator/0/files").forEach(file -> files.add(file.asText()));
            assertThat(files).isNotEmpty().allSatisfy(file -> assertThat(
                            KUBERNETES.resolve(folder).resolve(file))
                    .exists());
        }
        JsonNode base = documents(KUBERNETES.resolve("base/deployment.yaml")).get(0);
        String jar = base.at("/spec/job/jarURI").asText();
        assertThat(dockerfile()).contains(jar.replace("local://", "") + "\n");
        assertThat(base.at("/spec/job/entryClass").asText()).isEqualTo("io.upliftstream.job.DenseVisionJob");
        JsonNode gpu = documents(KUBERNETES.resolve("gpu/gpu.yaml")).get(0);
        assertThat(gpu.at("/metadata/name")).isEqualTo(base.at("/metadata/name"));
        String container = "/podTemplate/spec/containers/0/name";
        assertThat(gpu.at("/spec/taskManager" + container)).isEqualTo(base.at("/spec" + container));
        for (JsonNode deployment : List.of(base, gpu)) {
            List<String> arguments = new ArrayList<>();
            deployment.at("/spec/job/args").forEach(argument -> arguments.add(argument.asText()));
            assertThat(arguments.subList(0, 2)).containsExactly("--config", "/opt/uplift/job/job.yaml");
            JobSettings.load(KUBERNETES.resolve("base/job.yaml"), Map.of(), arguments.subList(2, arguments.size()));
        }
        JobSettings defaults = JobSettings.load(KUBERNETES.resolve("base/job.yaml"), Map.of(), List.of());
        assertThat(documents(KUBERNETES.resolve("base/topics.yaml")))
                .extracting(topic -> topic.at("/metadata/name").asText())
                .containsExactlyInAnyOrder(
                        defaults.get(InputOptions.INPUT_TOPIC),
                        defaults.get(OutputOptions.SEGMENTATION_TOPIC),
                        defaults.get(OutputOptions.FEATURES_TOPIC),
                        defaults.get(OutputOptions.REGRESSION_TOPIC),
                        defaults.get(OutputOptions.FAILURES_TOPIC),
                        defaults.get(OutputOptions.DROPPED_TOPIC));
    }

    @Test
    void podsHaveNoRightsThatTheyDoNotNeed() throws IOException {
        JsonNode base = documents(KUBERNETES.resolve("base/deployment.yaml")).get(0);
        JsonNode pod = base.at("/spec/podTemplate/spec");
        assertThat(pod.at("/securityContext/runAsNonRoot").asBoolean()).isTrue();
        assertThat(pod.at("/securityContext/runAsUser").asInt()).isPositive();
        assertThat(pod.at("/securityContext/seccompProfile/type").asText()).isEqualTo("RuntimeDefault");
        assertThat(pod.path("containers")).isNotEmpty().allSatisfy(container -> {
            JsonNode context = container.path("securityContext");
            assertThat(context.path("allowPrivilegeEscalation").asBoolean(true)).isFalse();
            assertThat(context.path("readOnlyRootFilesystem").asBoolean()).isTrue();
            assertThat(context.at("/capabilities/drop"))
                    .extracting(JsonNode::asText)
                    .containsExactly("ALL");
            assertThat(context.at("/capabilities/add").isMissingNode()).isTrue();
            assertThat(container.path("volumeMounts"))
                    .extracting(mount -> mount.path("mountPath").asText())
                    .contains("/tmp", "/opt/flink/log");
        });
        JsonNode flink = base.at("/spec/flinkConfiguration");
        assertThat(flink.path("web.submit.enable").asText()).isEqualTo("false");
        assertThat(flink.path("web.access-control-allow-origin").asText()).startsWith("http");
        for (String overlay : List.of("gpu/gpu.yaml")) {
            assertThat(documents(KUBERNETES.resolve(overlay)).get(0).findValues("securityContext"))
                    .isEmpty();
        }
    }

    @Test
    void theNetworkOfThePodsIsClosedButForWhatIsNamed() throws IOException {
        JsonNode policy = documents(KUBERNETES.resolve("base/network.yaml")).get(0);
        assertThat(policy.path("kind").asText()).isEqualTo("NetworkPolicy");
        JsonNode spec = policy.path("spec");
        String pods = documents(KUBERNETES.resolve("base/deployment.yaml"))
                .get(0)
                .at("/metadata/name")
                .asText();
        assertThat(spec.at("/podSelector/matchLabels/app").asText()).isEqualTo(pods);
        assertThat(spec.path("policyTypes")).extracting(JsonNode::asText).containsExactly("Ingress", "Egress");
        assertThat(spec.path("ingress")).isNotEmpty().allSatisfy(rule -> assertThat(rule.path("from"))
                .isNotEmpty());
        assertThat(spec.path("egress")).isNotEmpty().allSatisfy(rule -> assertThat(
                        rule.path("to").size() + rule.path("ports").size())
                .isPositive());
    }

    @Test
    void composeIsForThisHostAloneAndNobodyIsLetInUnasked() throws IOException {
        JsonNode services = documents(ROOT.resolve("docker-compose.yml")).get(0).path("services");
        for (Map.Entry<String, JsonNode> service : services.properties()) {
            assertThat(service.getValue().path("ports"))
                    .as(service.getKey())
                    .allSatisfy(port -> assertThat(port.asText()).startsWith("127.0.0.1:"));
            JsonNode merged = service.getValue().path("<<"); // Jackson leaves a merge to its reader
            assertThat(merged.asText()).as(service.getKey()).isEqualTo("locked");
            for (String door : List.of("privileged", "network_mode", "pid", "cap_add")) {
                assertThat(service.getValue().has(door)).as(service.getKey()).isFalse();
            }
            assertThat(service.getValue().path("image").asText())
                    .as(service.getKey())
                    .matches("[a-z/-]+(:(?!latest)[\\w.-]+|@sha256:[0-9a-f]{64})");
        }
        JsonNode locked = documents(ROOT.resolve("docker-compose.yml")).get(0).path("x-locked");
        assertThat(locked.path("cap_drop")).extracting(JsonNode::asText).containsExactly("ALL");
        assertThat(locked.path("security_opt")).extracting(JsonNode::asText).containsExactly("no-new-privileges:true");
        JsonNode grafana = services.at("/grafana/environment");
        assertThat(grafana.path("GF_AUTH_ANONYMOUS_ENABLED").asText("false")).isEqualTo("false");
        assertThat(grafana.path("GF_SECURITY_ADMIN_PASSWORD").asText()).startsWith("${GRAFANA_PASSWORD:?");
        assertThat(services.at("/jobmanager/environment/FLINK_PROPERTIES").asText())
                .contains("web.submit.enable: false\n", "web.cancel.enable: false\n")
                .doesNotContain("web.access-control-allow-origin: *");
    }

    @Test
    void dockerfileCopiesWhatExists() throws IOException {
        Set<String> copied = matches(dockerfile(), "(?m)^COPY (?:--chown=\\S+ )?([^-\\s]\\S*) \\S+$");
        assertThat(copied).contains("model/bundles/").allSatisfy(path -> assertThat(ROOT.resolve(path))
                .exists());
        Set<String> built = matches(dockerfile(), "--from=build (?:--chown=\\S+ )?/src/(\\w[\\w-]*)/target/");
        assertThat(built).isNotEmpty().allSatisfy(module -> assertThat(
                        ROOT.resolve(module).resolve("pom.xml"))
                .exists());
    }

    private static List<JsonNode> documents(Path file) throws IOException {
        try (MappingIterator<JsonNode> documents =
                YAML.readerFor(JsonNode.class).readValues(file.toFile())) {
            return documents.readAll();
        }
    }

    private static String dockerfile() throws IOException {
        return Files.readString(ROOT.resolve("deploy/Dockerfile"));
    }

    private static Set<String> matches(String text, String pattern) {
        return Pattern.compile(pattern)
                .matcher(text)
                .results()
                .map((MatchResult match) -> match.group(1))
                .collect(Collectors.toCollection(TreeSet::new));
    }
}
