// Package link is what a connection to a broker does when it does not do what was asked: which
// errors pass, which do not, how long to wait, and what to say.
package link
