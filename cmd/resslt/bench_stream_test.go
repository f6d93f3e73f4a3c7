package main

import (
	"encoding/json"
	"testing"
)

// The benchmark of the stream trains from memory and through the broker, and says
// what it compared.
func TestBenchStream(t *testing.T) {
	needTorch(t)
	o := resslt(t, "bench", "stream", "--rounds", "1", "--steps", "3", "--width", "4", "--image-size", "16", "--batch", "8", "--json")
	var r streamReport
	if err := json.Unmarshal([]byte(o.stdout), &r); o.code != 0 || err != nil {
		t.Fatalf("exit %d, %v: %s", o.code, err, o.stderr)
	}
	if r.Ratio <= 0 || r.MemoryImagesPerSecond <= 0 || r.Rounds != 1 || r.StepsPerRound != 3 || r.BatchBytes != 2*3*16*16*8 {
		t.Errorf("%+v", r)
	}
}

// The benchmark of the input brings batches of a recipe's own views, and says what of
// it is drawing.
func TestBenchLoader(t *testing.T) {
	needTorch(t) // for the data set; the benchmark opens no libtorch
	o := resslt(t, "bench", "loader", "--set", "batch_size=16", "--workers", "1", "--seconds", "1", "--json")
	var r loaderReport
	if err := json.Unmarshal([]byte(o.stdout), &r); o.code != 0 || err != nil {
		t.Fatalf("exit %d, %v: %s", o.code, err, o.stderr)
	}
	if r.ImagesPerSecond <= 0 || r.RenderImagesPerSecond <= 0 || r.CPUPerImage <= 0 || r.RenderCPUPerImage <= 0 ||
		r.Views != 2 || r.SampleBytes != 2*28*28*3 || r.BatchSize != 16 || r.Workers != 1 {
		t.Errorf("%+v", r)
	}
	if o := resslt(t, "bench", "loader", "--workers", "0"); o.code != 2 {
		t.Errorf("--workers 0: exit %d: %s", o.code, o.stderr)
	}
}
