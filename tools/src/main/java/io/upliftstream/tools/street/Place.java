package io.upliftstream.tools.street;

/** A place on the ground with a heading; {@code right} is to the right of {@code ahead}. */
record Place(Vec at, Vec ahead, Vec right) {
    static Place heading(Vec at, double slope, boolean towards) {
        Vec ahead = new Vec(slope, 0, 1).unit().times(towards ? -1 : 1);
        return new Place(at, ahead, new Vec(ahead.z(), 0, -ahead.x()));
    }

    Place turned(double angle) {
        Vec turned = ahead.times(Math.cos(angle)).plus(right, Math.sin(angle));
        return new Place(at, turned, new Vec(turned.z(), 0, -turned.x()));
    }

    Vec point(double along, double sideways, double up) {
        return at.plus(ahead, along).plus(right, sideways).plus(Solids.UP, up);
    }
}
