package io.upliftstream.tools.bench;

import io.upliftstream.tools.bench.ScaleReport.Load;
import io.upliftstream.tools.bench.ScaleReport.Row;
import java.awt.Color;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
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
        BitmapEncoder.saveBitmap(List.of(latency, cost, heap, metrics), 2, 2, file.toString(), BitmapFormat.PNG);
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

    private static void line(XYChart chart, String name, List<Row> rows, Function<Row, ? extends Number> value) {
        chart.addSeries(
                name,
                rows.stream().map(Row::cameras).toList(),
                rows.stream().map(value).toList());
    }
}
