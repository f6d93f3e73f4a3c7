package ingest

import "resslt/schemas"

// Survey is all that a reader passed over.
type Survey = schemas.Survey

// PassedOver is one reason's part of a Survey.
type PassedOver = schemas.PassedOver

// Surveyed is a Source that knows what it passed over.
type Surveyed interface {
	Source

	// Survey is what was passed over when the data set was opened, whether its index
	// was built then or came from the cache.
	Survey() Survey
}

// SurveyOf is a source's survey; nil for formats that name every file they read, and
// so pass over nothing.
func SurveyOf(src Source) Survey {
	if s, ok := src.(Surveyed); ok {
		return s.Survey()
	}
	return nil
}
