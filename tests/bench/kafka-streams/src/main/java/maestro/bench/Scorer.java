package maestro.bench;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.nio.IntBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * A series' row: int64 count, a ring of 64 doubles, the last slope, the last z, the rest unused. A sample is scored by
 * its distance from the mean of the ring before it, in deviations; each row is read and written once a message.
 */
final class Scorer implements Processor<byte[], byte[], byte[], byte[]> {
    static final String RINGS = "rings";
    static final int ROW_BYTES = 608;
    private static final int RING = 64;
    private static final int RING_AT = 8;
    private static final int SLOPE_AT = RING_AT + RING * 8;
    private static final int RECENT = 8;
    private static final double ALARM_Z = 6.0;
    private static final int HEAD_BYTES = 10;
    private static final VarHandle DOUBLE = MethodHandles.byteArrayViewVarHandle(double[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);

    private final boolean batches;
    private final Library library;
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], byte[]> rings;
    private byte[] data;
    private int at;

    Scorer(boolean batches, boolean library) {
        this.batches = batches;
        this.library = library ? new Library(batches) : null;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        rings = context.getStateStore(RINGS);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        data = record.value();
        at = HEAD_BYTES;
        if (library != null) {
            byLibrary(record);
        } else if (batches) {
            batch(record);
        } else {
            single(record);
        }
    }

    /** HealthSignal: asset_id, metric, value, and what is not needed here. */
    private void single(Record<byte[], byte[]> record) {
        int from = at;
        skip();
        skip();
        byte[][] keys = {Arrays.copyOfRange(data, from, at)};
        take(record, keys, new int[1], new double[] {(double) DOUBLE.get(data, at)});
    }

    /** HealthSignalBatch: source, the columns series_index, at and value, the series. */
    private void batch(Record<byte[], byte[]> record) {
        skip();
        int[] index = new int[(int) number() / Integer.BYTES];
        for (int i = 0; i < index.length; i++, at += Integer.BYTES) {
            index[i] = (int) INT.get(data, at);
        }
        skip();
        double[] values = new double[(int) number() / Double.BYTES];
        for (int i = 0; i < values.length; i++, at += Double.BYTES) {
            values[i] = (double) DOUBLE.get(data, at);
        }
        take(record, series(), index, values);
    }

    private void byLibrary(Record<byte[], byte[]> record) {
        GenericRecord read = library.read(data, HEAD_BYTES);
        if (!batches) {
            take(record, new byte[][] {Library.key(read)}, new int[1], new double[] {(double) read.get("value")});
            return;
        }
        List<?> series = (List<?>) read.get("series");
        byte[][] keys = new byte[series.size()][];
        for (int i = 0; i < keys.length; i++) {
            keys[i] = Library.key((GenericRecord) series.get(i));
        }
        IntBuffer index = Library.column(read, "series_index").asIntBuffer();
        DoubleBuffer value = Library.column(read, "value").asDoubleBuffer();
        int[] numbers = new int[index.remaining()];
        double[] values = new double[value.remaining()];
        index.get(numbers);
        value.get(values);
        take(record, keys, numbers, values);
    }

    private void take(Record<byte[], byte[]> record, byte[][] keys, int[] index, double[] values) {
        byte[][] rows = new byte[keys.length][];
        boolean[] alarms = new boolean[keys.length];
        for (int i = 0; i < values.length; i++) {
            int one = index[i];
            if (rows[one] == null) {
                rows[one] = row(keys[one]);
            }
            alarms[one] |= Math.abs(observe(rows[one], values[i])) > ALARM_Z;
        }
        for (int i = 0; i < rows.length; i++) {
            if (rows[i] != null) {
                rings.put(keys[i], rows[i]);
            }
            if (alarms[i]) {
                publish(record);
            }
        }
        Peer.SAMPLES.add(values.length);
    }

    private byte[][] series() {
        byte[][] keys = new byte[16][];
        int count = 0;
        for (long left = number(); left != 0; left = number()) {
            if (left < 0) { // an Avro block with its size in bytes
                left = -left;
                number();
            }
            for (; left > 0; left--) {
                int from = at;
                skip();
                skip();
                if (count == keys.length) {
                    keys = Arrays.copyOf(keys, count * 2);
                }
                keys[count++] = Arrays.copyOfRange(data, from, at);
                skip();
            }
        }
        return Arrays.copyOf(keys, count);
    }

    private void publish(Record<byte[], byte[]> record) {
        RecordMetadata from = context.recordMetadata().orElseThrow();
        String cause = from.topic() + ":" + from.partition() + ":" + from.offset();
        context.forward(record.withValue(cause.getBytes(StandardCharsets.UTF_8)));
    }

    private byte[] row(byte[] key) {
        byte[] known = rings.get(key);
        return known == null ? new byte[ROW_BYTES] : known.clone(); // the store's cache owns its arrays
    }

    private static double observe(byte[] row, double value) {
        long seen = (long) LONG.get(row, 0);
        int known = (int) Math.min(seen, RING);
        double z = 0.0;
        if (known > 1) {
            double mean = 0.0;
            for (int i = 0; i < known; i++) {
                mean += (double) DOUBLE.get(row, RING_AT + i * 8);
            }
            mean /= known;
            double squares = 0.0;
            for (int i = 0; i < known; i++) {
                double off = (double) DOUBLE.get(row, RING_AT + i * 8) - mean;
                squares += off * off;
            }
            double deviation = Math.sqrt(squares / known);
            z = (value - mean) / (deviation > 0.0 ? deviation : 1.0);
        }
        DOUBLE.set(row, RING_AT + (int) (seen % RING) * 8, value);
        LONG.set(row, 0, seen + 1);
        DOUBLE.set(row, SLOPE_AT, slope(row, seen + 1));
        DOUBLE.set(row, SLOPE_AT + 8, z);
        return z;
    }

    /** Ordinary least squares over the last 8 values, by sample. */
    private static double slope(byte[] row, long seen) {
        if (seen < RECENT) {
            return 0.0;
        }
        double sum = 0.0;
        for (int i = 0; i < RECENT; i++) {
            sum += (i - 3.5) * (double) DOUBLE.get(row, RING_AT + (int) ((seen - RECENT + i) % RING) * 8);
        }
        return sum / 42.0;
    }

    private void skip() {
        int length = (int) number();
        at += length;
    }

    /** Avro's zigzag varint. */
    private long number() {
        long raw = 0;
        for (int shift = 0; ; shift += 7) {
            byte b = data[at++];
            raw |= (long) (b & 0x7F) << shift;
            if (b >= 0) {
                return (raw >>> 1) ^ -(raw & 1);
            }
        }
    }
}
