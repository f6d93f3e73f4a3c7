package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"resslt/augment"
)

// workCost is a line of `bench augment --profile`: one kind of work, such as decoding or a
// step of views.
type workCost struct {
	Work            string  `json:"work"`
	CallsPerSample  float64 `json:"calls_per_sample"`
	MicrosPerCall   float64 `json:"cpu_us_per_call"`
	MicrosPerSample float64 `json:"cpu_us_per_sample"`
	Share           float64 `json:"share"` // of all CPU time
}

// costs are those of all renderers over the run m, what never happened left out; the last
// is what no painter accounts for: drawing plans, encoding them, calls and the clock.
func costs(renderers []*rendering, m measured) []workCost {
	var sum []augment.Cost
	for _, r := range renderers {
		for i, c := range r.renderer.Profile() {
			if i == len(sum) {
				sum = append(sum, augment.Cost{Work: c.Work})
			}
			sum[i].Calls += c.Calls
			sum[i].CPU += c.CPU
		}
	}
	n, rest := float64(m.n), m.cpu
	var out []workCost
	for _, c := range sum {
		if c.Calls == 0 {
			continue
		}
		cpu := c.CPU.Seconds()
		rest -= cpu
		out = append(out, workCost{c.Work, float64(c.Calls) / n, cpu * 1e6 / float64(c.Calls), cpu * 1e6 / n, cpu / m.cpu})
	}
	return append(out, workCost{"plans, calls, the rest", 1, rest * 1e6 / n, rest * 1e6 / n, rest / m.cpu})
}

func writeProfile(out io.Writer, costs []workCost) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "work\tcalls a sample\tCPU µs a call\tCPU µs a sample\tshare\t")
	for _, c := range costs {
		fmt.Fprintf(w, "%s\t%.2f\t%.1f\t%.1f\t%.1f %%\t\n", c.Work, c.CallsPerSample, c.MicrosPerCall, c.MicrosPerSample, 100*c.Share)
	}
	w.Flush()
}

// allPresets measures every preset on the same samples, and prints a row of a Markdown table
// for each.
func (b *benchAugment) allPresets(ctx context.Context, out io.Writer) error {
	samples, bytes, engine, err := b.load(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "| preset | views | samples a CPU-second | views a CPU-second | decoding alone | ratio |\n| --- | --- | --- | --- | --- | --- |")
	for _, name := range augment.Presets() {
		b.policy = name
		r, err := b.report(ctx, engine, samples, bytes)
		if err != nil {
			return err
		}
		views := r.ViewsPerSecond / r.SamplesPerSecond
		fmt.Fprintf(out, "| %s | %.0f | %.0f | %.0f | %.0f | %.2f |\n", name, views, r.SamplesPerCPUSecond, views*r.SamplesPerCPUSecond, r.DecodePerCPUSecond, r.SamplesPerCPUSecond/r.DecodePerCPUSecond)
	}
	return nil
}
