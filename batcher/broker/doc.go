// Package broker starts a NATS server with JetStream inside this process, and connects to it
// or to another.
//
//	Start      the embedded broker: in this process alone, or on an address with a token
//	Connect    a connection that survives the broker's restart, and JetStream on it
//	Role       what a worker, a trainer, an observer may do in a locked-down broker
//
// Errors say what to do, and never show a secret. A connection that is lost is looked for
// without end; how long to wait is for whoever uses it to decide.
package broker
