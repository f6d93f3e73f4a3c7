package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"resslt/ingest"
	"resslt/schemas"
)

func main() {
	n := flag.Int64("n", 1_281_167, "samples")
	classes := flag.Int64("classes", 1000, "classes, of about equal size")
	shards := flag.Int64("shards", 1000, "shards, of about equal size")
	batch := flag.Int64("batch", 1024, "samples a batch")
	seed := flag.Uint64("seed", 1, "of the orders")
	flag.Parse()
	if *n < 1 || *classes < 1 || *shards < 1 || *batch < 1 || *batch > *n || *shards > *n {
		fmt.Fprintln(os.Stderr, "order: give positive numbers, with -batch and -shards at most -n")
		os.Exit(2)
	}
	d := data{n: *n, classes: *classes, batch: *batch}
	for s := range *shards {
		d.first = append(d.first, s**n / *shards)
		d.sizes = append(d.sizes, (s+1)**n / *shards - s**n / *shards)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "order\tdata\tdistance\tentropy\trank\tshards\trun\tns")
	for _, order := range []string{"global", "blocked:shards=8,window=16384", "blocked:shards=32,window=32768", "blocked:shards=64,window=65536"} {
		for _, mixed := range []bool{false, true} {
			if err := d.measure(w, order, *seed, mixed); err != nil {
				fmt.Fprintln(os.Stderr, "order:", err)
				os.Exit(1)
			}
		}
	}
	w.Flush()
}

// data is a data set of samples 0 … n−1 in shards.
type data struct {
	n, classes, batch int64
	first, sizes      []int64 // of each shard
}

func (d *data) measure(w *tabwriter.Writer, name string, seed uint64, mixed bool) error {
	o, err := ingest.OpenOrder(&schemas.RunSpec{Order: name, Seed: seed, Dataset: schemas.DatasetSpec{Samples: d.n, ShardSamples: d.sizes}})
	if err != nil {
		return err
	}
	parsed, err := schemas.ParseOrder(name)
	if err != nil {
		return err
	}
	packed, kind := ingest.NewOrder(seed+1, d.n), "sorted"
	class := func(id int64) int64 {
		if mixed {
			id = packed.At(0, id) // what pack put there
		}
		return id * d.classes / d.n
	}
	if mixed {
		kind = "shuffled"
	}
	ids := make([]int64, d.n)
	begun := time.Now()
	for i := range ids {
		ids[i] = o.At(0, int64(i))
	}
	lookup := float64(time.Since(begun).Nanoseconds()) / float64(d.n)

	var distance, rank float64
	mid := float64(d.n-1) / 2
	for i, id := range ids {
		if i > 0 {
			distance += math.Abs(float64(id - ids[i-1]))
		}
		rank += (float64(i) - mid) * (float64(o.Index(1, id)) - mid)
	}
	distance /= float64(d.n-1) * float64(d.n)
	rank /= float64(d.n) * (float64(d.n)*float64(d.n) - 1) / 12

	var entropy, touched float64
	batches := d.n / d.batch
	for b := range batches {
		part := ids[b*d.batch : (b+1)*d.batch]
		counts, shards := map[int64]int{}, map[int]bool{}
		for _, id := range part {
			counts[class(id)]++
			shards[d.shard(id)] = true
		}
		entropy += bits(counts, d.batch)
		touched += float64(len(shards))
	}
	entropy /= float64(batches) * d.randomEntropy()
	touched /= float64(batches)

	window := d.batch
	if parsed.Blocked {
		window = int64(parsed.Window)
	}
	fmt.Fprintf(w, "%s\t%s\t%.3f\t%.3f\t%+.4f\t%.1f\t%.0f\t%.0f\n", name, kind, distance, entropy, rank, touched, d.run(o, window), lookup)
	return nil
}

func (d *data) shard(id int64) int {
	at, found := slices.BinarySearch(d.first, id)
	if !found {
		at--
	}
	return at
}

// run is the mean number of samples that lie together in a shard and are visited
// within a window of one another.
func (d *data) run(o ingest.Permutation, window int64) float64 {
	runs, before := int64(1), o.Index(0, 0)
	for id := int64(1); id < d.n; id++ {
		at := o.Index(0, id)
		if d.shard(id) != d.shard(id-1) || at-before >= window || before-at >= window {
			runs++
		}
		before = at
	}
	return float64(d.n) / float64(runs)
}

func bits(counts map[int64]int, total int64) float64 {
	var sorted []int
	for _, c := range counts {
		sorted = append(sorted, c)
	}
	slices.Sort(sorted) // sums of floats depend on their order, a map's is none
	var h float64
	for _, c := range sorted {
		p := float64(c) / float64(total)
		h -= p * math.Log2(p)
	}
	return h
}

// randomEntropy is the mean entropy of batches in random order: below log₂ of the
// classes, since a batch is a small sample.
func (d *data) randomEntropy() float64 {
	o := ingest.NewOrder(12345, d.n)
	var h float64
	const batches = 50
	for b := range int64(batches) {
		counts := map[int64]int{}
		for i := range d.batch {
			counts[o.At(b, i)*d.classes/d.n]++
		}
		h += bits(counts, d.batch)
	}
	return h / batches
}
