package org.example.cache;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Keeps what was used last.
 *
 * @param <K> key
 * @param <V> value
 */
public final class Cache<K, V> {
    private final int capacity;
    private final Map<K, V> entries;

    public Cache(int capacity) {
        this.capacity = capacity;
        this.entries = new LinkedHashMap<>(capacity, 0.75f, true);
    }

    /** Null if there is none. */
    public synchronized V get(K key) {
        return entries.get(key);
    }

    @SuppressWarnings("unchecked")
    public synchronized void put(K key, V value) {
        entries.put(key, value);
        if (entries.size() > capacity) {
            K eldest = entries.keySet().iterator().next();
            entries.remove(eldest);
        }
    }

    enum Policy {
        LRU,
        FIFO
    }

    record Pair<A, B>(A first, B second) {
        Pair<B, A> swapped() {
            return new Pair<>(second, first);
        }
    }
}
