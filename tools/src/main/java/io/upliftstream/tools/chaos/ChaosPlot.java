package io.upliftstream.tools.chaos;

import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import javax.imageio.ImageIO;
import org.knowm.xchart.AnnotationText;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.lines.SeriesLines;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** A run over time: faults, results per second, frames that are open, age of the newest checkpoint; and its processes. */
final class ChaosPlot {
    private static final Color LINE = new Color(0x1f77b4);
    private static final Color FAULT = new Color(0xd62728);
    private static final float FAULT_WIDTH = 6;
    private static final int ROW_PIXELS = 22;
    private static final int WIDTH = 1000;
    private static final double LETTER_PIXELS = 7;
    /** Else a kill would not be seen. */
    private static final double SHORTEST_SECONDS = 1;

    private ChaosPlot() {}

    static void write(ChaosReport report, List<Watch.Look> looks, Path file) throws IOException {
        double end = Math.max(1, report.seconds());
        List<XYChart> charts = List.of(
                faults(report, end),
                line(
                        "results per second",
                        looks.stream().map(Watch.Look::resultsPerSecond).toList(),
                        looks,
                        end),
                line(
                        "frames open",
                        looks.stream().map(look -> (double) look.open()).toList(),
                        looks,
                        end),
                line(
                        "age of the newest checkpoint, seconds",
                        looks.stream().map(Watch.Look::checkpointAgeSeconds).toList(),
                        looks,
                        end));
        stack(charts, file);
    }

    /** Writes charts one below the other. */
    private static void stack(List<XYChart> charts, Path file) throws IOException {
        BufferedImage all = new BufferedImage(
                WIDTH, charts.stream().mapToInt(XYChart::getHeight).sum(), BufferedImage.TYPE_INT_RGB);
        Graphics2D pen = all.createGraphics();
        int top = 0;
        for (XYChart chart : charts) {
            pen.drawImage(BitmapEncoder.getBufferedImage(chart), 0, top, null);
            top += chart.getHeight();
        }
        pen.dispose();
        ImageIO.write(all, "png", file.toFile());
    }

    /** What the processes hold over the run, a chart for every quantity and a line for every process. */
    static void write(List<Vitals.Sample> samples, Path file) throws IOException {
        double end = samples.stream().mapToDouble(Vitals.Sample::second).max().orElse(1);
        Map<String, List<Vitals.Sample>> processes = samples.stream()
                .collect(Collectors.groupingBy(Vitals.Sample::process, TreeMap::new, Collectors.toList()));
        List<XYChart> charts = new ArrayList<>();
        for (int quantity = 0; quantity < Vitals.QUANTITIES.size(); quantity++) {
            int which = quantity;
            XYChart chart = chart(Vitals.QUANTITIES.get(quantity), 260, end);
            chart.getStyler().setLegendVisible(true);
            chart.getStyler().setYAxisMin(0.0);
            processes.forEach((process, of) -> chart.addSeries(
                            process,
                            of.stream().map(Vitals.Sample::second).toList(),
                            of.stream()
                                    .map(sample -> sample.values().get(which))
                                    .toList())
                    .setMarker(SeriesMarkers.NONE));
            charts.add(chart);
        }
        stack(charts, file);
    }

    /** A row for every kind. */
    private static XYChart faults(ChaosReport report, double end) {
        List<String> kinds = report.faults().stream()
                .map(ChaosReport.Made::kind)
                .distinct()
                .sorted()
                .toList();
        XYChart chart = chart("faults", 120 + ROW_PIXELS * (kinds.size() + 1), end);
        chart.getStyler().setYAxisMin(0.0).setYAxisMax(kinds.size() + 1.0);
        chart.getStyler().setYAxisTicksVisible(false);
        Set<String> named = new HashSet<>();
        for (ChaosReport.Made made : report.faults()) {
            double row = kinds.indexOf(made.kind()) + 1.0;
            XYSeries series = chart.addSeries(
                    made.kind() + made.second(),
                    List.of(made.second(), made.second() + Math.max(SHORTEST_SECONDS, made.lastedSeconds())),
                    List.of(row, row));
            series.setLineColor(FAULT);
            series.setLineWidth(FAULT_WIDTH);
            series.setLineStyle(SeriesLines.SOLID);
            series.setMarker(SeriesMarkers.NONE);
            if (named.add(made.kind())) {
                // Text is centred where it is put: beside the first bar of its row.
                double away = (made.kind().length() * LETTER_PIXELS / 2 + 12) * end / WIDTH;
                double place =
                        made.second() < end / 2 ? made.second() + made.lastedSeconds() + away : made.second() - away;
                chart.addAnnotation(new AnnotationText(made.kind(), place, row, false));
            }
        }
        return chart;
    }

    private static XYChart line(String title, List<Double> values, List<Watch.Look> looks, double end) {
        XYChart chart = chart(title, 220, end);
        if (!looks.isEmpty()) {
            XYSeries series = chart.addSeries(
                    title, looks.stream().map(Watch.Look::second).toList(), values);
            series.setLineColor(LINE);
            series.setMarker(SeriesMarkers.NONE);
        }
        return chart;
    }

    private static XYChart chart(String title, int height, double end) {
        XYChart chart = new XYChartBuilder()
                .width(WIDTH)
                .height(height)
                .title(title)
                .xAxisTitle("seconds")
                .build();
        chart.getStyler().setLegendVisible(false);
        chart.getStyler().setChartBackgroundColor(Color.WHITE);
        chart.getStyler().setLocale(Locale.ROOT);
        chart.getStyler().setXAxisMin(0.0);
        chart.getStyler().setXAxisMax(end);
        return chart;
    }
}
