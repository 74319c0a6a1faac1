package io.upliftstream.tools.sql;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.PrintStream;
import java.lang.reflect.Array;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.types.Row;
import org.apache.flink.types.RowKind;
import org.jspecify.annotations.Nullable;

/** Prints the rows of a query as they come: as a table for people, or each as a JSON object on a line. */
final class RowPrinter {
    private static final JsonMapper JSON = new JsonMapper();

    /** Most characters of a value in the table; the whole is in the JSON. */
    private static final int WIDEST = 40;

    private static final int NARROWEST = 8;

    private final PrintStream out;
    private final boolean json;
    private final List<String> columns;
    private final List<Integer> widths = new ArrayList<>();
    private boolean cut;

    RowPrinter(PrintStream out, boolean json, List<String> columns) {
        this.out = out;
        this.json = json;
        this.columns = columns;
    }

    /** Prints a row, the first with the columns' names above it. */
    void print(Row row) {
        if (json) {
            out.println(json(row));
            return;
        }
        List<String> cells = new ArrayList<>();
        for (int i = 0; i < row.getArity(); i++) {
            cells.add(cell(row.getField(i)));
        }
        if (widths.isEmpty()) {
            for (int i = 0; i < cells.size(); i++) {
                int most = Math.max(columns.get(i).length(), cells.get(i).length());
                widths.add(Math.max(NARROWEST, most));
            }
            out.println(line("  ", columns));
        }
        // Rows that take back or replace an earlier one are told from new ones.
        out.println(line(row.getKind() == RowKind.INSERT ? "  " : row.getKind().shortString(), cells));
    }

    private String line(String kind, List<String> cells) {
        StringBuilder line = new StringBuilder(kind);
        for (int i = 0; i < cells.size(); i++) {
            String cell = cells.get(i);
            line.append("  ").append(cell).append(" ".repeat(Math.max(0, widths.get(i) - cell.length())));
        }
        return line.toString().stripTrailing();
    }

    /** What the table does not show whole; empty if there is nothing such. */
    String note() {
        return cut ? "; … stands for what is beyond %d characters, --json has it".formatted(WIDEST) : "";
    }

    private String cell(@Nullable Object value) {
        if (value instanceof byte[] bytes) {
            return bytes.length + " bytes";
        }
        if (value != null && value.getClass().isArray()) {
            return Array.getLength(value) + " values";
        }
        String text = String.valueOf(value).replaceAll("\\R", " ");
        if (text.length() <= WIDEST) {
            return text;
        }
        cut = true;
        return text.substring(0, WIDEST - 1) + "…";
    }

    private String json(Row row) {
        Map<String, @Nullable Object> fields = new LinkedHashMap<>();
        for (int i = 0; i < row.getArity(); i++) {
            fields.put(columns.get(i), plain(row.getField(i)));
        }
        Object line = row.getKind() == RowKind.INSERT
                ? fields
                : Map.of("kind", row.getKind().shortString(), "row", fields);
        try {
            return JSON.writeValueAsString(line);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("plain values have a JSON form", e);
        }
    }

    /** Numbers, texts, bytes, lists and maps stay what they are; other things, such as times, become texts. */
    private static @Nullable Object plain(@Nullable Object value) {
        if (value instanceof Row row) {
            Map<String, @Nullable Object> fields = new LinkedHashMap<>();
            Set<String> names = row.getFieldNames(true);
            List<String> list = names == null ? List.of() : List.copyOf(names);
            for (int i = 0; i < row.getArity(); i++) {
                fields.put(i < list.size() ? list.get(i) : "f" + i, plain(row.getField(i)));
            }
            return fields;
        }
        if (value instanceof Map<?, ?> map) {
            Map<String, @Nullable Object> fields = new LinkedHashMap<>();
            map.forEach((key, each) -> fields.put(String.valueOf(key), plain(each)));
            return fields;
        }
        if (value instanceof byte[] || value == null || value instanceof Number || value instanceof Boolean) {
            return value;
        }
        if (value.getClass().isArray()) {
            List<@Nullable Object> list = new ArrayList<>();
            for (int i = 0; i < Array.getLength(value); i++) {
                list.add(plain(Array.get(value, i)));
            }
            return list;
        }
        return value.toString();
    }
}
