package maestro.bench;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;

/** Records as Avro's own library reads them. The schemas are the product's, copied by the build. */
final class Library {
    private final GenericDatumReader<GenericRecord> reader;
    private BinaryDecoder decoder;
    private GenericRecord last;

    Library(boolean batches) {
        String name = batches ? "/health_signal_batch.avsc" : "/health_signal.avsc";
        try (InputStream text = Library.class.getResourceAsStream(name)) {
            reader = new GenericDatumReader<>(new Schema.Parser().parse(text));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    GenericRecord read(byte[] data, int from) {
        decoder = DecoderFactory.get().binaryDecoder(data, from, data.length - from, decoder);
        try {
            last = reader.read(last, decoder);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return last;
    }

    static byte[] key(GenericRecord series) {
        return (series.get("asset_id") + "|" + series.get("metric")).getBytes(StandardCharsets.UTF_8);
    }

    static ByteBuffer column(GenericRecord batch, String name) {
        return ((ByteBuffer) batch.get(name)).order(ByteOrder.LITTLE_ENDIAN);
    }
}
