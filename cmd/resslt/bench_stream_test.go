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
