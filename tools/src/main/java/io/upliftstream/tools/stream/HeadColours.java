package io.upliftstream.tools.stream;

import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.tools.picture.Planes;
import io.upliftstream.tools.picture.PrincipalColours;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The principal colours of heads, fitted on the first record of each, so that a colour keeps its meaning. For any thread. */
public final class HeadColours {
    /** Heads whose colours stay; whoever writes to the topic may invent one for every record. */
    private static final int MAX_HEADS = 64;

    private final Map<String, PrincipalColours> heads = new ConcurrentHashMap<>();

    /**
     * The colours of a record's head.
     *
     * @param planes the record's values, channel by channel
     */
    public PrincipalColours of(FeatureRecord record, float[] planes) {
        int channels = Planes.channels(record.getTensor());
        String head = channels + " " + record.getName();
        PrincipalColours fitted = heads.get(head);
        if (fitted == null) {
            fitted = PrincipalColours.fitted(planes, channels);
            PrincipalColours first = heads.size() < MAX_HEADS ? heads.putIfAbsent(head, fitted) : null;
            fitted = first == null ? fitted : first;
        }
        return fitted;
    }
}
