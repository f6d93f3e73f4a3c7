package torch

import "unsafe"

var (
	fnCudaMemory = op{name: "resslt::cuda_memory", args: "device"}
	fnHostBuffer = op{name: "resslt::host_buffer", args: "bytes,pinned"}
	fnSetDevice  = op{name: "resslt::set_device", args: "device"}
	fnNewStream  = op{name: "resslt::new_stream", args: "device"}
	fnSetStream  = op{name: "resslt::set_stream", args: "device,stream"}
)

// SetDevice makes a GPU the current one of the device thread: the one for pinned memory
// and for calls that name no device. It holds until the next SetDevice; on the CPU it
// does nothing.
func SetDevice(device Device) {
	if device.Type == DeviceCUDA {
		var b [2]uint64
		fnSetDevice.none(putDevice(b[:0], device))
	}
}

// Stream is a queue of work on a GPU: work on one stream runs in order, work on two may
// run concurrently. Work goes to the default stream except inside With. On the CPU,
// where an op is done when it returns, a Stream has no effect.
//
// libtorch's allocator returns a tensor's memory to the stream that allocated it as
// soon as its handle is freed, even if another stream still uses it. So a tensor that
// crosses streams must be kept until the streams have synchronised by an Event.
type Stream struct {
	device Device
	id     int64
}

// NewStream returns a stream of the device, from a pool that belongs to the process, so
// that there is nothing to free. It runs inside Do.
func NewStream(device Device) *Stream {
	s := &Stream{device: device}
	if device.Type == DeviceCUDA {
		var b [2]uint64
		s.id = int64(fnNewStream.word(putDevice(b[:0], device)))
	}
	return s
}

// With runs fn with s as the current stream.
func (s *Stream) With(fn func()) {
	if s.device.Type == DeviceCUDA {
		was := s.current(s.id)
		defer s.current(was)
	}
	fn()
}

// Inside is With between a fork and a join: s first waits for the current stream's work
// so far, and afterwards the current stream waits for what fn has put on s.
func (s *Stream) Inside(fn func()) {
	if s.device.Type != DeviceCUDA {
		fn()
		return
	}
	before, after := NewEvent(s.device, false), NewEvent(s.device, false)
	defer before.Free()
	defer after.Free()
	before.Record()
	s.With(func() {
		before.Wait()
		defer after.Record()
		fn()
	})
	after.Wait()
}

// current makes a stream the current one and returns the previous one.
func (s *Stream) current(id int64) int64 {
	var b [4]uint64
	return int64(fnSetStream.word(putInt(putDevice(b[:0], s.device), id)))
}

// HostBuffer is host memory that Go may write and read outside Do and that libtorch
// sees as Tensor. It lives until Free.
type HostBuffer struct {
	Tensor *Tensor // (n) uint8 on the CPU, kept
	Bytes  []byte  // the same memory; invalid after Free
}

// NewHostBuffer makes a buffer of n bytes. A pinned one is in page-locked memory, which
// needs CUDA; copies from it to a GPU overlap with the host's work. It runs inside Do.
func NewHostBuffer(n int64, pinned bool) *HostBuffer {
	var b [4]uint64
	var out result
	fnHostBuffer.invoke(putBool(putInt(b[:0], n), pinned), nil, &out)
	r := resultWords(&out)
	buf := &HostBuffer{Tensor: own(r[0]).Keep()}
	if n > 0 {
		// The address is libtorch's memory, which Go's collector neither moves nor frees.
		buf.Bytes = unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&r[1]))), n)
	}
	return buf
}

// Free releases the memory.
func (h *HostBuffer) Free() {
	h.Tensor.Free()
	h.Bytes = nil
}

// CUDAMemory is what the caching allocator holds on a GPU, in bytes.
type CUDAMemory struct {
	Allocated     int64 // in live tensors
	PeakAllocated int64 // the most since the process began
	Reserved      int64 // taken from the driver
}

// CUDAMemoryOf asks the allocator; it fails if there is no such GPU.
func CUDAMemoryOf(device Device) CUDAMemory {
	var b [2]uint64
	r := fnCudaMemory.words(putDevice(b[:0], device))
	return CUDAMemory{Allocated: int64(r[0]), PeakAllocated: int64(r[1]), Reserved: int64(r[2])}
}
