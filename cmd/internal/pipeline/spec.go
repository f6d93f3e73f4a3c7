package pipeline

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"resslt/augment"
	"resslt/cmd/internal/cores"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/bounded/boundedyaml"
	"resslt/schemas/errs"
	"resslt/train/recipe"
)

// Policy returns the augmentation policy that the recipe names: a preset, or a YAML file
// if the name ends in .yaml or .yml, resized to imageSize if that is not 0.
func Policy(name string, imageSize int) (*augment.Policy, error) {
	p, err := loadPolicy(name)
	if err != nil {
		return nil, err
	}
	if imageSize > 0 {
		return p.Resize(imageSize)
	}
	return p, nil
}

func loadPolicy(name string) (*augment.Policy, error) {
	if !strings.HasSuffix(name, ".yaml") && !strings.HasSuffix(name, ".yml") {
		if !slices.Contains(augment.Presets(), name) {
			return nil, errs.New("policy", name, bounded.Suggest(name, augment.Presets())+"use "+presets()+", or a path ending in .yaml",
				errs.Because(errs.ErrUsage, "there is no preset of that name"))
		}
		return augment.Preset(name)
	}
	raw, err := bounded.ReadFile(name, boundedyaml.MaxBytes)
	if err != nil {
		return nil, errs.New("read policy", name, "name an existing file or use "+presets(),
			errs.BecauseErr(errs.ErrUsage, err))
	}
	return augment.ParsePolicy(name, raw)
}

// presets lists the presets in one line, those of Table 4 as one.
func presets() string {
	var names []string
	for _, p := range augment.Presets() {
		if !strings.HasPrefix(p, "table4-") {
			names = append(names, p)
		}
	}
	return strings.Join(append(names, "table4-…"), ", ")
}

// Host is what a recipe takes from this machine and build, for a process with these
// cores that trains on the data that a URI names.
func Host(c cores.Cores, data string) recipe.Host {
	scheme, _, _ := strings.Cut(data, ":")
	return recipe.Host{Threads: cores.For(c, os.LookupEnv).Count, Engine: engineFor(augment.DefaultEngine(), scheme).Name()}
}

// engineFor is the version of an engine that runs of a scheme's data begin with; EngineOf has
// that of packed data, of which the scheme says nothing.
func engineFor(e augment.Engine, scheme string) augment.Engine {
	if ingest.ImageSide(scheme) > 0 { // raw pixels
		return augment.RawEngine(e)
	}
	return e
}

// EngineOf is the engine of a name, or the default one for "", that decodes what a data set
// holds. Packed data has a version of its own, whose pixels are those of the newest version:
// that one and a family stand for it. The error is EngineByFamily's, or wraps ErrUsage for
// version 1, which has other pixels.
func EngineOf(name string, m *ingest.Manifest) (augment.Engine, error) {
	e, err := augment.EngineByFamily(name)
	if err != nil || !ingest.Packed(m.Format) {
		return e, err
	}
	packed := augment.PackedEngine(e)
	if e.Name() == augment.RawEngine(e).Name() {
		return nil, errs.New("engine", name, "give "+packed.Name()+", or no engine",
			errs.Because(errs.ErrUsage, "it decodes no packed data"))
	}
	return packed, nil
}

// ImageEngine is the engine that decodes a data set where no run names one.
func ImageEngine(m *ingest.Manifest) augment.Engine {
	if ingest.Packed(m.Format) {
		return augment.PackedEngine(augment.DefaultEngine())
	}
	return augment.DefaultEngine()
}

// Spec returns the run spec of a resolved recipe for a data set. The recipe's engine becomes
// the one that decodes packed data, if that is what the data set holds.
func Spec(r *recipe.Recipe, m *ingest.Manifest) (schemas.RunSpec, error) {
	s, err := specOf(r, m, CheckViews)
	if err != nil {
		return s, err
	}
	return s, checkPairs(r, &s.Dataset)
}

// checkPairs refuses data without mates for an objective that compares samples with theirs.
func checkPairs(r *recipe.Recipe, data *schemas.DatasetSpec) error {
	if !r.ObjectiveOf().Pairs || data.Mates > 0 {
		return nil
	}
	return errs.New("data", r.Data, "write them with `resslt embed --mates 5 --checkpoint TEACHER --data URI --out mates.npy`, and give data=mates:mates.npy+URI",
		errs.Because(errs.ErrUsage, "objective "+r.Objective+" compares each image with its mates, and this data has none"))
}

// BatchSpec is Spec for a consumer that is not the recipe's objective: any views do. Of the
// recipe only what the batches depend on needs to be resolved.
func BatchSpec(r *recipe.Recipe, m *ingest.Manifest) (schemas.RunSpec, error) {
	return specOf(r, m, checkSizes)
}

// checkViews is a check of the views that a recipe's policy draws, of a format's images.
type checkViews func(r *recipe.Recipe, format string, views []schemas.ViewSpec) error

func specOf(r *recipe.Recipe, m *ingest.Manifest, check checkViews) (schemas.RunSpec, error) {
	engine, err := EngineOf(r.Engine, m)
	if err != nil {
		return schemas.RunSpec{}, err
	}
	if !strings.Contains(r.Engine, "/") { // a family, of which the user leaves the version to us
		engine = engineFor(engine, m.Format)
	}
	if ingest.Packed(m.Format) {
		r.Engine = engine.Name() // the host chose by the URI's scheme, before the data was open
	}
	return specOver(r, engine.Name(), m.Spec(), m.ShardSamples, check)
}

// ReplaySpec returns the run spec of a resolved recipe for recorded batches, which need
// neither the data nor the engine that they were made with. Its error wraps ErrMismatch
// if the recipe needs other batches than those recorded, or more epochs, and names what differs.
// Fewer epochs are the beginning of the recording.
func ReplaySpec(r *recipe.Recipe, recorded *schemas.RunSpec) (schemas.RunSpec, error) {
	s, err := specOver(r, recorded.Engine, recorded.Dataset, func() []int64 { return recorded.Dataset.ShardSamples }, CheckViews)
	if err != nil {
		return s, err
	}
	if err := checkPairs(r, &s.Dataset); err != nil {
		return s, err
	}
	s.ChunkSamples = recorded.ChunkSamples
	if !s.EqualBatches(recorded) || s.Epochs > recorded.Epochs {
		return s, errs.New("replay with recipe", r.Name, "give the recorded run's --recipe and --set",
			errs.Because(errs.ErrMismatch, "its batches are not those recorded: "+s.Differences(recorded).Text("the record has")))
	}
	return s, nil
}

func specOver(r *recipe.Recipe, engine string, data schemas.DatasetSpec, shards func() []int64, check checkViews) (schemas.RunSpec, error) {
	policy, err := Policy(r.Policy, r.ImageSize)
	if err != nil {
		return schemas.RunSpec{}, err
	}
	views := policy.ViewSpecs()
	if err := check(r, data.Format, views); err != nil {
		return schemas.RunSpec{}, err
	}
	order, err := schemas.ParseOrder(r.Order)
	if err != nil {
		return schemas.RunSpec{}, err
	}
	s := schemas.RunSpec{
		Version: schemas.SpecVersion,
		Dataset: data,
		Order:   order.String(), Policy: policy.Canonical(), Engine: engine, Seed: r.Seed,
		BatchSize: r.BatchSize, Views: views,
		Epochs: int64(r.Epochs), StepsPerEpoch: data.Samples / int64(r.BatchSize),
		OnError: schemas.OnError(r.OnError),
	}
	if r.StepsPerEpoch > 0 {
		s.StepsPerEpoch = int64(r.StepsPerEpoch)
	}
	if order.Blocked {
		s.Dataset.ShardSamples = shards()
	}
	s.ChunkSamples = r.ChunkSamples
	if s.ChunkSamples == 0 {
		s.ChunkSamples = schemas.DefaultChunkSamples(s.SampleBytes(), s.BatchSize)
	}
	return s, s.Validate()
}

// CheckViews checks that the views fit the recipe's objective, and are not larger than
// the format's images, if those are all of one size. Errors wrap errs.ErrUsage.
func CheckViews(r *recipe.Recipe, format string, views []schemas.ViewSpec) error {
	if _, _, err := recipe.Sides(r.Objective, r.Crops, views); err != nil {
		return err
	}
	return checkSizes(r, format, views)
}

// checkSizes checks that no view is larger than the format's images.
func checkSizes(r *recipe.Recipe, format string, views []schemas.ViewSpec) error {
	side := ingest.ImageSide(format)
	if side == 0 || r.Upscale {
		return nil
	}
	for _, v := range views {
		if v.Size > side {
			return errs.New("view", v.Name, fmt.Sprintf("set image_size=%d or less, or upscale=true if that is intended", side),
				errs.Because(errs.ErrUsage, fmt.Sprintf("is %d pixels wide and the images of %s are %d: crops would be enlarged", v.Size, format, side)))
		}
	}
	return nil
}
