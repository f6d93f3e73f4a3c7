// Package serve hands a run's batches to training loops in other processes: `resslt serve`. The
// bytes of the conversation are in docs/wire.md, "Batches from `resslt serve`".
//
// # Vocabulary
//
//	door      the address that the server listens at, and who may come in
//	client    a training loop, under a name; of several ranks, each has a connection of its own
//	frame     a type, a length and a body: what travels on the connection, both ways
//	credits   how many batches a client may hold that it has not acknowledged
//	ring      memory that server and client share; a batch is assembled in a slot of it
//	position  the first step that a client has not acknowledged
//
// # In pseudo-code
//
//	Run(options):
//	    plan ← recipe, policy, data        // the run spec, mean and std, class names
//	    supply ← embedded, or a farm's broker
//	    door ← options;  print the line that says where
//	    for each connection, until ctx ends: client
//
//	client:
//	    hello ← the first frame            // version, token, name, rank: else an error frame
//	    stream ← supply.Open(from the client's position)
//	    send welcome (with the ring) and schema
//	    for each step:
//	        wait for a credit, then for the batch
//	        send it, or the number of its slot
//	    read acknowledgements meanwhile: they move the stream's cursor
//
// # Invariants
//
//   - A step counts as consumed when it is acknowledged, never before. What was sent and not
//     acknowledged is sent again to the next connection of the name.
//   - The server buffers nothing for a client: at most credits batches are out, and the stream
//     holds what the run's window allows. A client that stops reading costs no more.
//   - A slot of the ring belongs to one side: the server's until its number is sent, the
//     client's until that is released.
//   - Whatever ends a connection, the client is told why in its last frame, unless it is the
//     client who ends it.
//   - What a client sends is bounded before memory is taken for it.
package serve
