package io.upliftstream.tools.bench;

import io.upliftstream.tools.bench.ScaleReport.Load;
import io.upliftstream.tools.bench.ScaleReport.Row;
import java.awt.Color;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.BitmapEncoder.BitmapFormat;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.style.Styler.LegendPosition;

/** Latency, processor time, heap and metrics over the number of cameras, at one rate of all cameras together. */
final class ScalePlot {
    private ScalePlot() {}

    static void write(ScaleReport report, Path file) throws IOException {
        Row first = report.rows().get(0);
        List<Row> rows = report.rows().stream()
                .filter(row -> row.load() == Load.SHARED
                        && row.partitions() == first.partitions()
                        && row.taskManagers() == first.taskManagers())
                .toList();
        XYChart latency = chart("Latency, milliseconds");
        line(latency, "p50", rows, row -> row.flow().p50());
        line(latency, "p99", rows, row -> row.flow().p99());
        XYChart cost = chart("Processor time per frame, milliseconds");
        line(cost, "TaskManagers", rows, row -> row.flow().cpuMillis());
        line(cost, "broker", rows, row -> row.flow().brokerCpuMillis());
        XYChart heap = chart("Live heap, megabytes");
        line(heap, "TaskManagers", rows, row -> row.footprint().heapMegabytes());
        XYChart metrics = chart("Metrics");
        line(metrics, "all", rows, row -> row.footprint().metrics());
        line(metrics, "of single cameras", rows, row -> row.footprint().cameraMetrics());
        boolean results = rows.stream().anyMatch(row -> row.flow().p50() != null);
        List<XYChart> charts = results ? List.of(latency, cost, heap, metrics) : List.of(cost, heap, metrics);
        BitmapEncoder.saveBitmap(charts, 2, 2, file.toString(), BitmapFormat.PNG);
    }

    private static XYChart chart(String title) {
        XYChart chart = new XYChartBuilder()
                .width(480)
                .height(320)
                .title(title)
                .xAxisTitle("cameras")
                .build();
        chart.getStyler().setXAxisLogarithmic(true);
        chart.getStyler().setYAxisMin(0.0);
        chart.getStyler().setLegendPosition(LegendPosition.OutsideS);
        chart.getStyler().setChartBackgroundColor(Color.WHITE);
        chart.getStyler().setLocale(Locale.ROOT);
        return chart;
    }

    /** Leaves out what has no value. */
    private static void line(XYChart chart, String name, List<Row> all, Function<Row, @Nullable Number> value) {
        List<Row> rows = all.stream().filter(row -> value.apply(row) != null).toList();
        if (!rows.isEmpty()) {
            chart.addSeries(
                    name,
                    rows.stream().map(Row::cameras).toList(),
                    rows.stream().map(value).toList());
        }
    }
}
