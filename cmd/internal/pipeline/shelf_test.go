package pipeline

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"resslt/augment"
	"resslt/batcher/produce"
	"resslt/batcher/wire"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// album writes n pictures of one class to a new folder; another seed makes others.
func album(t *testing.T, n, seed int) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "train", "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		paint(t, filepath.Join(dir, "train", "a", strconv.Itoa(i)+".png"), seed*1000+i)
	}
	return dir
}

func paint(t *testing.T, path string, seed int) {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 8, 8))
	for i := range 64 {
		m.Set(i%8, i/8, color.RGBA{uint8(seed), uint8(seed >> 8), uint8(i), 255})
	}
	f, err := os.Create(path)
	if err == nil {
		err = errors.Join(png.Encode(f, m), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// infoOf is a run over a folder's pictures; each seed's is another run.
func infoOf(t *testing.T, dir string, cache string, seed uint64) *schemas.RunInfo {
	t.Helper()
	uri := "folder:" + dir
	src, err := ingest.Open(t.Context(), uri, ingest.Options{CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	policy, err := augment.Preset("small")
	if err != nil {
		t.Fatal(err)
	}
	spec := schemas.RunSpec{
		Version: schemas.SpecVersion, Dataset: src.Manifest().Spec(), Order: "global", Policy: policy.Canonical(),
		Engine: augment.DefaultEngine().Name(), Seed: seed, BatchSize: 2, Views: policy.ViewSpecs(),
		Epochs: 1, StepsPerEpoch: 2, ChunkSamples: 2, OnError: schemas.Replace,
	}
	return &schemas.RunInfo{Spec: spec, Digest: spec.Digest(), DataURI: uri}
}

// dataOf is what a source reads from.
func dataOf(t *testing.T, s produce.Source) ingest.Source {
	t.Helper()
	return s.(*source).data.Source
}

// make1 makes one sample of a source.
func make1(t *testing.T, s produce.Source, info *schemas.RunInfo, sample int64) error {
	t.Helper()
	m, err := s.NewMaker()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dst, plans := make([][]byte, len(info.Spec.Views)), make([][]byte, len(info.Spec.Views))
	for v, view := range info.Spec.Views {
		dst[v] = make([]byte, view.Bytes())
	}
	_, err = m.Make(t.Context(), wire.TaskRow{Sample: sample, Index: sample}, dst, plans)
	return err
}

// Runs of the same data share them, whatever else differs; those of other data do not. Each goes
// on until it closes them itself, and the last closes them.
func TestShelfSharesData(t *testing.T) {
	cache := t.TempDir()
	dir, other := album(t, 4, 1), album(t, 4, 2)
	infos := []*schemas.RunInfo{infoOf(t, dir, cache, 1), infoOf(t, dir, cache, 2), infoOf(t, other, cache, 1)}
	shelf, opt := NewShelf(), ingest.Options{CacheDir: cache}
	var open []produce.Source
	for _, info := range infos {
		s, err := shelf.Open(t.Context(), info, nil, opt, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, s)
	}
	data := dataOf(t, open[0])
	if dataOf(t, open[1]) != data || dataOf(t, open[2]) == data {
		t.Error("two runs of the same data should share them, and the third have its own")
	}
	for range 2 { // the second Close does nothing
		if err := open[0].Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := make1(t, open[1], infos[1], 0); err != nil {
		t.Errorf("when the other run had closed its data: %v", err)
	}
	if err := open[1].Close(); err != nil {
		t.Fatal(err)
	}
	if err := data.Read(t.Context(), 0, new(schemas.Sample)); !errors.Is(err, errs.ErrUnavailable) {
		t.Errorf("nobody has the data, and a read gives %v", err)
	}
	again, err := shelf.Open(t.Context(), infos[0], nil, opt, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if dataOf(t, again) == data {
		t.Error("data that were closed are lent")
	}
	for _, s := range []produce.Source{again, open[2]} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(shelf.volumes) != 0 {
		t.Errorf("%d data sets are left on the shelf", len(shelf.volumes))
	}
}

// Data that changed on disk are opened afresh: for a run of the new data, and for one of the old
// that meets the change, once they are restored, though another still has the old ones open.
func TestShelfOpensChangedDataAfresh(t *testing.T) {
	cache, dir := t.TempDir(), album(t, 4, 1)
	before := infoOf(t, dir, cache, 1)
	shelf, opt := NewShelf(), ingest.Options{CacheDir: cache}
	open := func(info *schemas.RunInfo) (produce.Source, error) {
		s, err := shelf.Open(t.Context(), info, nil, opt, nil, nil)
		if err == nil {
			t.Cleanup(func() { s.Close() })
		}
		return s, err
	}
	first, err := open(before)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "train", "a", "0.png")
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(kept, 0), 0o644); err != nil { // of another size
		t.Fatal(err)
	}
	after := infoOf(t, dir, cache, 1)
	if s, err := open(after); err != nil || dataOf(t, s) == dataOf(t, first) {
		t.Errorf("a run of the changed data: %v", err)
	}
	if err := make1(t, first, before, 0); !errors.Is(err, errs.ErrMismatch) {
		t.Fatalf("a sample that changed gives %v", err)
	}
	if _, err := open(before); !errors.Is(err, errs.ErrMismatch) {
		t.Errorf("a run of the data as they were gets them: %v", err)
	}
	if err := os.WriteFile(path, kept, 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := open(before)
	if err != nil {
		t.Fatal(err)
	}
	if dataOf(t, again) == dataOf(t, first) {
		t.Error("data that had changed are lent")
	}
	if err := make1(t, again, before, 0); err != nil {
		t.Error(err)
	}
}

// A run whose opening hangs, and is given up, holds up no other: who waited for it opens the data
// itself, and who comes later does, too. What the hung one still gets is closed.
func TestShelfHungOpening(t *testing.T) {
	cache, dir := t.TempDir(), album(t, 4, 1)
	info := infoOf(t, dir, cache, 1)
	shelf, opt := NewShelf(), ingest.Options{CacheDir: cache}
	block := make(chan struct{})
	var once sync.Once
	entered := make(chan struct{})
	slow := opt
	slow.Progress = func(int64, int64) { // which only who opens calls
		once.Do(func() { close(entered) })
		<-block
	}
	slow.CacheDir = t.TempDir() // nothing is known of the data there: they are hashed
	ctx, giveUp := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		s, err := shelf.Open(ctx, info, nil, slow, nil, nil)
		if err == nil {
			err = s.Close()
		}
		left <- err
	}()
	<-entered
	type result struct {
		s   produce.Source
		err error
	}
	waits := make(chan result, 1)
	go func() {
		s, err := shelf.Open(t.Context(), info, nil, opt, nil, nil)
		waits <- result{s, err}
	}()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := shelf.Open(short, info, nil, opt, nil, nil); err == nil {
		t.Error("one who waits for a hung opening, not for long, gets the data")
	}
	select {
	case r := <-waits:
		t.Fatalf("who waits has %v, %v while the first still opens them", r.s, r.err)
	default:
	}
	giveUp()
	r := <-waits
	if r.err != nil {
		t.Fatal(r.err)
	}
	later, err := shelf.Open(t.Context(), info, nil, opt, nil, nil)
	if err != nil || dataOf(t, later) != dataOf(t, r.s) {
		t.Errorf("who comes later: %v", err)
	}
	close(block)
	<-left
	for _, s := range []produce.Source{r.s, later} {
		if err := errors.Join(make1(t, s, info, 1), s.Close()); err != nil {
			t.Error(err)
		}
	}
}

// Who waits for another's opening hears how it goes on, by bytes and by files; one that fails
// is told to all, and tried again by the next.
func TestShelfOpeningIsFollowed(t *testing.T) {
	dir := album(t, 600, 1)
	info := infoOf(t, dir, t.TempDir(), 1)
	shelf := NewShelf()
	held, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	opt := ingest.Options{CacheDir: t.TempDir(), Progress: func(int64, int64) { once.Do(func() { close(held); <-proceed }) }}
	var mu sync.Mutex
	heard := make([]Headway, 2)
	var wg sync.WaitGroup
	open := func(i int, opt ingest.Options) {
		s, err := shelf.Open(t.Context(), info, nil, opt, nil, func(h Headway) {
			mu.Lock()
			defer mu.Unlock()
			heard[i] = h
		})
		if err == nil {
			err = s.Close()
		}
		if err != nil {
			t.Error(err)
		}
	}
	wg.Go(func() { open(0, opt) })
	<-held
	wg.Go(func() {
		open(1, ingest.Options{CacheDir: opt.CacheDir, Progress: func(int64, int64) { t.Error("who waits opens the data") }})
	})
	for joined := false; !joined; time.Sleep(time.Millisecond) {
		shelf.mu.Lock()
		for _, v := range shelf.volumes {
			joined = v.users == 2
		}
		shelf.mu.Unlock()
	}
	close(proceed)
	wg.Wait()
	for i, h := range heard {
		if h.Files < 512 || h.Bytes == 0 {
			t.Errorf("number %d heard of %+v", i, h)
		}
	}
	gone := *info
	gone.DataURI = "folder:" + filepath.Join(dir, "nowhere")
	for range 2 {
		if _, err := shelf.Open(t.Context(), &gone, nil, opt, nil, nil); !errors.Is(err, errs.ErrMismatch) {
			t.Error(err)
		}
	}
	if len(shelf.volumes) != 0 {
		t.Errorf("%d data sets are left on the shelf", len(shelf.volumes))
	}
}
