"""What a device counts and tells with each check-in, by name."""

METRICS = (   # non-negative integers, cumulative since boot unless said
    "uptime_s",
    "connects",   # broker connections that succeeded
    "drops",   # broker connections that ended unasked
    "tx_bytes",   # to the broker, before TLS
    "rx_bytes",
    "msgs",   # records published, with repeats
    "acked",   # records that the server's database has committed
    "ring_used",   # bytes in the ring not yet acknowledged, now
    "ring_dropped",   # records overwritten before they were acknowledged, ever
    "app_crashes",
    "task_restarts",
    "late_max_ms",   # largest lateness of a sample
    "sensors_bad",   # channels whose sensor has failed for a while, now
    "alarms",   # channels beyond a limit, now
    "heap_free",   # bytes, lowest seen
    "idf_block",   # bytes, largest free block of the chip's own heap, lowest seen; TLS lives there
    "resets",   # boots not asked for by the firmware, ever
    "sync_failure",   # connections to the broker that were not had, acks that stood still, check-ins without an answer
)
RSSI = "rssi"   # beside them, dBm of the Wi-Fi access point, now; told only where Wi-Fi carries the uplink
RSSI_LEAST, RSSI_MOST = -128, 127   # ESP-IDF says it in a byte with a sign
