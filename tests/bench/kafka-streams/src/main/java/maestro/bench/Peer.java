package maestro.bench;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams with the same work as the other peers, at least once, in a RocksDB store with its changelog.
 *
 * <p>Arguments: BROKER w1|w2|hops APP_ID FOLDER [cache=on|off] [avro=library|hand] [linger=MS]
 * [threads=N]. Prints, every 0.2 s, a JSON line
 * of seconds, CPU seconds of the process and samples done. What is not given is as Kafka Streams has it.
 */
public final class Peer {
    static final LongAdder SAMPLES = new LongAdder();
    private static final String SIGNALS = "health-signals";
    private static final String ANOMALIES = "bench-anomalies";
    private static final String REMEDIATIONS = "bench-remediations";

    private Peer() {}

    public static void main(String[] args) throws InterruptedException {
        boolean cache = !option(args, "cache", "on").equals("off");
        KafkaStreams streams = new KafkaStreams(topology(args[1], cache, option(args, "avro", "library").equals("library")), settings(args));
        CountDownLatch stopped = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(java.time.Duration.ofSeconds(10));
            stopped.countDown();
        }));
        streams.start();
        report();
    }

    private static String option(String[] args, String name, String otherwise) {
        for (String arg : args) {
            if (arg.startsWith(name + "=")) {
                return arg.substring(name.length() + 1);
            }
        }
        return otherwise;
    }

    private static Properties settings(String[] args) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, args[2]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, args[3]);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, option(args, "threads", "1"));
        String linger = option(args, "linger", "");
        if (!linger.isEmpty()) {
            settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), linger);
        }
        return settings;
    }

    private static Topology topology(String workload, boolean cache, boolean library) {
        Topology topology = new Topology()
            .addSource("signals", SIGNALS)
            .addProcessor("score", () -> new Scorer(workload.equals("w2"), library), "signals")
            .addStateStore(store(Scorer.RINGS, cache), "score")
            .addSink("anomalies", ANOMALIES, "score");
        if (workload.equals("hops")) {
            topology.addSource("incidents", ANOMALIES)
                .addProcessor("heal", Healer::new, "incidents")
                .addStateStore(store(Healer.STEPS, cache), "heal")
                .addSink("remediations", REMEDIATIONS, "heal");
        }
        return topology;
    }

    private static StoreBuilder<KeyValueStore<byte[], byte[]>> store(String name, boolean cache) {
        StoreBuilder<KeyValueStore<byte[], byte[]>> store = Stores.keyValueStoreBuilder(
            Stores.persistentKeyValueStore(name), Serdes.ByteArray(), Serdes.ByteArray());
        return cache ? store.withCachingEnabled() : store.withCachingDisabled();
    }

    private static void report() throws InterruptedException {
        OperatingSystemMXBean process =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        while (true) {
            System.out.printf(java.util.Locale.ROOT, "{\"s\": %.6f, \"cpu_s\": %.6f, \"samples\": %d}%n",
                System.nanoTime() / 1e9, process.getProcessCpuTime() / 1e9, SAMPLES.sum());
            System.out.flush();
            Thread.sleep(200);
        }
    }

    /** The second hop: counts the anomalies of an asset and answers each with one step. */
    private static final class Healer implements Processor<byte[], byte[], byte[], byte[]> {
        static final String STEPS = "steps";
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<byte[], byte[]> steps;

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
            steps = context.getStateStore(STEPS);
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            byte[] before = steps.get(record.key());
            byte[] row = before == null ? new byte[Scorer.ROW_BYTES] : before.clone();
            row[0]++;
            steps.put(record.key(), row);
            context.forward(record);
        }
    }
}
