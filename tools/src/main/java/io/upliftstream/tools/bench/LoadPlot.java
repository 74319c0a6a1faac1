package io.upliftstream.tools.bench;

import java.awt.Color;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.BitmapEncoder.BitmapFormat;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.lines.SeriesLines;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** Latency percentiles and drop rate over the offered load. */
final class LoadPlot {
    private static final Color LIVE = new Color(0x1f77b4);
    private static final Color LOSSLESS = new Color(0xd62728);

    private LoadPlot() {}

    static void write(LoadReport report, Path file) throws IOException {
        // Loads side by side, whatever lies between them.
        List<Double> places = report.runs().stream()
                .map(LoadReport.Run::load)
                .distinct()
                .sorted()
                .toList();
        XYChart latency = chart("Latency, from due to on the topic", "milliseconds", places);
        latency.getStyler().setYAxisLogarithmic(true);
        XYChart rates = chart("Drops (share of frames) and throughput (x capacity)", "", places);
        for (String mode : List.of("live", "lossless")) {
            Color colour = mode.equals("live") ? LIVE : LOSSLESS;
            List<LoadReport.Run> runs = report.runs().stream()
                    .filter(run -> run.mode().equals(mode) && run.latency().p99() != null)
                    .toList();
            if (runs.isEmpty()) {
                continue;
            }
            List<Double> loads = runs.stream()
                    .map(run -> (double) places.indexOf(run.load()))
                    .toList();
            line(
                    latency,
                    mode + " p50",
                    loads,
                    runs.stream().map(run -> run.latency().p50()).toList(),
                    colour,
                    true);
            line(
                    latency,
                    mode + " p99",
                    loads,
                    runs.stream().map(run -> run.latency().p99()).toList(),
                    colour,
                    false);
            List<Double> throughput = runs.stream()
                    .map(run -> run.throughput() / report.capacity())
                    .toList();
            line(rates, mode + " throughput", loads, throughput, colour, false);
            line(
                    rates,
                    mode + " drops",
                    loads,
                    runs.stream().map(LoadReport.Run::dropRate).toList(),
                    colour,
                    true);
            Double bound = runs.get(0).boundMillis();
            if (bound != null) {
                line(
                        latency,
                        "live bound: max-age + 3 x p99 service",
                        loads,
                        loads.stream().map(load -> bound).toList(),
                        Color.GRAY,
                        false);
            }
        }
        BitmapEncoder.saveBitmap(List.of(latency, rates), 1, 2, file.toString(), BitmapFormat.PNG);
    }

    private static XYChart chart(String title, String yTitle, List<Double> places) {
        XYChart chart = new XYChartBuilder()
                .width(640)
                .height(440)
                .title(title)
                .xAxisTitle("offered load, multiples of capacity")
                .yAxisTitle(yTitle)
                .build();
        chart.setCustomXAxisTickLabelsFormatter(place -> label(places, place));
        chart.getStyler().setLegendPosition(LegendPosition.OutsideS);
        chart.getStyler().setChartBackgroundColor(Color.WHITE);
        chart.getStyler().setLocale(Locale.ROOT);
        return chart;
    }

    private static String label(List<Double> places, double place) {
        int index = (int) Math.rint(place);
        return Math.abs(place - index) < 1e-6 && index >= 0 && index < places.size()
                ? places.get(index).toString()
                : "";
    }

    private static void line(XYChart chart, String name, List<Double> x, List<Double> y, Color colour, boolean dashed) {
        XYSeries series = chart.addSeries(name, x, y);
        series.setLineColor(colour);
        series.setMarkerColor(colour);
        series.setMarker(SeriesMarkers.CIRCLE);
        series.setLineStyle(dashed ? SeriesLines.DASH_DASH : SeriesLines.SOLID);
    }
}
