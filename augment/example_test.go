package augment_test

import (
	"fmt"

	"resslt/augment"
	"resslt/schemas"
)

// Draw fixes every random number of a view; no pixel is needed for it.
func ExampleDraw() {
	policy, err := augment.Preset("small")
	if err != nil {
		panic(err)
	}
	key := augment.Key{Seed: 1, Epoch: 0, Sample: 42}
	for v := range policy.Views {
		plan := augment.Draw(policy, v, key, 32, 32)
		fmt.Println(policy.Views[v].Name, plan.String())
	}
	// Output:
	// weak crop 1,0 31×32 of 32×32 → 32 bilinear
	// strong crop 12,12 16×20 of 32×32 → 32 bilinear, hue +6/256, brightness 0.79, saturation 0.96, contrast 0.73, blur σ 0.70, flip
}

// A renderer decodes a sample once and renders all its views. Replay renders the same
// pixels from the plans.
func ExampleRenderer_Render() {
	policy, err := augment.Preset("small")
	if err != nil {
		panic(err)
	}
	engine, err := augment.EngineByFamily("ref")
	if err != nil {
		panic(err)
	}
	r, err := augment.NewRenderer(engine, policy)
	if err != nil {
		panic(err)
	}
	defer r.Close()

	sample := &schemas.Sample{ID: 42, Key: "grey", Encoding: schemas.RawGray, Width: 32, Height: 32, Data: make([]byte, 32*32)}
	for i := range sample.Data {
		sample.Data[i] = byte(i)
	}
	buffers := func() (pixels [][]byte) {
		for _, v := range policy.ViewSpecs() {
			pixels = append(pixels, make([]byte, v.Bytes())) // (S,S,3) uint8
		}
		return pixels
	}
	pixels, again := buffers(), buffers()
	encoded, err := r.Render(sample, augment.Key{Seed: 1, Sample: sample.ID}, pixels, nil)
	if err != nil {
		panic(err)
	}
	plans := make([]augment.Plan, len(encoded))
	for v, b := range encoded {
		if plans[v], err = augment.ParsePlan(b); err != nil {
			panic(err)
		}
	}
	if err := r.Replay(sample, plans, again); err != nil {
		panic(err)
	}
	for v := range pixels {
		fmt.Println(policy.Views[v].Name, len(pixels[v]), string(pixels[v]) == string(again[v]))
	}
	// Output:
	// weak 3072 true
	// strong 3072 true
}
