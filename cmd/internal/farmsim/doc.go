// Package farmsim is a farm without images: the real broker, planner, streams and workers, with
// chunks that cost a sleep in the place of decoding and drawing. It shows what a farm of a
// thousand machines asks of its broker, on one machine. Package main of cmd/farmsim is its
// command line, docs/scale.md what came out.
//
// # The parts
//
//	broker    nats-server or the embedded broker, a process of its own, on the cores that it is given
//	workers   worker.Workers, each with a connection of its own; spread over a few processes
//	trainers  streams that take batches and train nothing, in this process, with their planners
//	tap       a subscriber that counts control messages by what they ask for
//
// # In pseudo-code
//
//	Run:
//	    start the broker; open the runs; start the trainers
//	    start the workers at once, as a rack does when its power returns
//	    wait until all serve; warm up
//	    measure: chunks, control messages by kind, CPU and memory of each part
//	    end the trainers' demand; measure the same of an idle farm
//	    kill -9 half of the workers; measure how long trainers wait, and until the rate is back
//
// What is simulated says so: a chunk's cost is a sleep, so that a thousand workers fit two cores.
// Everything that is measured, is: nothing is extrapolated here.
package farmsim
