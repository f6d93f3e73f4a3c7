// Package pipelinetest makes batches for tests to compare with.
package pipelinetest
