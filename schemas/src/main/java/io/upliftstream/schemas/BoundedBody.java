package io.upliftstream.schemas;

import java.io.IOException;
import java.net.http.HttpResponse.BodySubscriber;
import java.net.http.HttpResponse.BodySubscribers;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow.Subscription;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;

/** The body of an answer, up to a largest size. */
@NullMarked
final class BoundedBody implements BodySubscriber<byte[]> {
    /** There is more. */
    static final class TooLargeException extends IOException {}

    private final BodySubscriber<byte[]> body = BodySubscribers.ofByteArray();
    private int left;
    private @Nullable Subscription subscription;

    BoundedBody(int maxBytes) {
        left = maxBytes;
    }

    @Override
    public CompletionStage<byte[]> getBody() {
        return body.getBody();
    }

    @Override
    public void onSubscribe(Subscription upstream) {
        subscription = upstream;
        body.onSubscribe(upstream);
    }

    @Override
    public void onNext(List<ByteBuffer> parts) {
        for (ByteBuffer part : parts) {
            left -= part.remaining();
        }
        if (left >= 0) {
            body.onNext(parts);
        } else if (subscription != null) {
            subscription.cancel();
            subscription = null;
            body.onError(new TooLargeException());
        }
    }

    @Override
    public void onError(Throwable failure) {
        body.onError(failure);
    }

    @Override
    public void onComplete() {
        body.onComplete();
    }
}
