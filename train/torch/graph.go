package torch

var (
	fnGraphPool   = op{name: "resslt::graph_pool", args: "device"}
	fnGraphBegin  = op{name: "resslt::graph_begin", args: "device,pool,pool_part"}
	fnGraphEnd    = op{name: "resslt::graph_end", args: "device,graph"}
	fnGraphReplay = op{name: "resslt::graph_replay", args: "graph"}
	fnFreeGraph   = op{name: "resslt::free_graph", args: "graph"}
)

// GraphPool is device memory that graphs share. Graphs of one pool must be replayed
// one after another, and a graph's results survive as long as their tensors are held.
type GraphPool struct {
	device Device
	id     [2]int64
}

// NewGraphPool makes a pool, which lives as long as its graphs.
func NewGraphPool(device Device) *GraphPool {
	p := &GraphPool{device: device}
	if device.Type == DeviceCUDA {
		var b [2]uint64
		r := fnGraphPool.words(putDevice(b[:0], device))
		p.id = [2]int64{int64(r[0]), int64(r[1])}
	}
	return p
}

// Graph is a CUDA graph: a sequence of kernels that is captured once and launched as a
// whole. A replay works on the same memory as the capture and writes its results into
// the tensors that the capture made; nothing that fn did on the host happens again.
//
// The CPU has no graphs: there a replay calls fn, so that code that uses graphs can be
// run and tested. There the host's part of fn does happen again.
type Graph struct {
	device Device
	h      uint64
	fn     func()
}

// Capture captures what fn launches on the current stream, which must not be the default
// one, and on streams that fork from it and join it again. On a GPU nothing runs yet; fn
// must not wait for the device, and every op in it must have run before, so that
// libraries have their workspaces. Tensors that fn keeps are the graph's results. An
// error is that of the op that cannot be captured; the device is then unchanged.
func (p *GraphPool) Capture(fn func()) (*Graph, error) {
	if p.device.Type != DeviceCUDA {
		return &Graph{device: p.device, fn: fn}, nil
	}
	capturing = true
	defer func() { capturing = false }()
	g := &Graph{device: p.device}
	err := Do(func() error {
		Synchronize(p.device)
		var b [6]uint64
		g.h = fnGraphBegin.word(putInt(putInt(putDevice(b[:0], p.device), p.id[0]), p.id[1]))
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = Do(func() error { fn(); return nil })
	// End the capture even if fn failed: the stream must not stay in it.
	ended := Do(func() error {
		var b [4]uint64
		fnGraphEnd.none(putInt(putDevice(b[:0], p.device), int64(g.h)))
		return nil
	})
	if err == nil {
		err = ended
	}
	if err != nil {
		g.Free()
		return nil, err
	}
	return g, nil
}

// Replay launches the graph on the current stream.
func (g *Graph) Replay() {
	if g.device.Type != DeviceCUDA {
		g.fn()
		return
	}
	var b [2]uint64
	fnGraphReplay.none(putInt(b[:0], int64(g.h)))
}

// Free frees the graph, not its results.
func (g *Graph) Free() {
	if g == nil || g.h <= handleFreed {
		return
	}
	h := g.h
	g.h = handleFreed
	if deviceLost.Load() {
		return
	}
	var b [2]uint64
	fnFreeGraph.none(putInt(b[:0], int64(h)))
}
