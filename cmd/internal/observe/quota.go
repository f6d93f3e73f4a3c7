package observe

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// Quota is the metric of the account's quotas.
const Quota = "resslt_quota_used_ratio"

// quotas are what an account has a quota of, by their labels.
var quotas = []struct {
	resource string
	of       func(jetstream.Tier) (used, limit float64)
}{
	// What streams reserve counts, whether they hold it or not: a new one is refused by that.
	{"memory", func(t jetstream.Tier) (float64, float64) {
		return float64(max(t.Memory, t.ReservedMemory)), float64(t.Limits.MaxMemory)
	}},
	{"file", func(t jetstream.Tier) (float64, float64) {
		return float64(max(t.Store, t.ReservedStore)), float64(t.Limits.MaxStore)
	}},
	{"streams", func(t jetstream.Tier) (float64, float64) { return float64(t.Streams), float64(t.Limits.MaxStreams) }},
	{"consumers", func(t jetstream.Tier) (float64, float64) { return float64(t.Consumers), float64(t.Limits.MaxConsumers) }},
}

// account adds the metrics of the account in the broker. A farm's processes all show the same:
// it is worth knowing when no run is trained, too, and no worker is there.
func account(r prometheus.Registerer, js jetstream.JetStream) {
	held := &brokerValues{every: quotaInterval, query: func(ctx context.Context) ([]float64, error) {
		a, err := js.AccountInfo(ctx)
		if err != nil {
			return nil, err
		}
		values := []float64{float64(a.Memory), float64(a.Store)}
		for _, q := range quotas {
			used, limit := q.of(a.Tier)
			if limit <= 0 { // none
				values = append(values, 0)
				continue
			}
			values = append(values, used/limit)
		}
		return values, nil
	}}
	gauge(r, "resslt_store_bytes", prometheus.Labels{"storage": "memory"}, func() float64 { return held.get(0) })
	gauge(r, "resslt_store_bytes", prometheus.Labels{"storage": "file"}, func() float64 { return held.get(1) })
	for i, q := range quotas {
		gauge(r, Quota, prometheus.Labels{"resource": q.resource}, func() float64 { return held.get(2 + i) })
	}
}
