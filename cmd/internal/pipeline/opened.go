package pipeline

import (
	"fmt"
	"strings"

	"resslt/batcher/produce"
	"resslt/ingest"
)

// Opened describes an open data set in one line: how many samples and classes it has, and
// what its reader passed over. uri names it, as the user has written it.
func Opened(uri string, src ingest.Source) string {
	return OpenedLine(uri, src.Manifest(), ingest.SurveyOf(src))
}

// OpenedLine is Opened for a data set that is closed by now.
func OpenedLine(uri string, m *ingest.Manifest, passed ingest.Survey) string {
	line := fmt.Sprintf("%s, split %s: %s", uri, m.Split, Totals(m))
	var draws []string
	for _, set := range m.Sets {
		draws = append(draws, fmt.Sprintf("%d from set %s (%s)", set.Draws, set.Name, count(set.Samples, "sample", "samples")))
	}
	if len(draws) > 0 {
		line += "; an epoch draws " + strings.Join(draws, ", ")
	}
	if len(passed) > 0 {
		line += "; " + briefly(uri, m.Split, passed)
	}
	return line
}

// Totals is how many samples and classes a data set has: "16 samples, 2 classes".
func Totals(m *ingest.Manifest) string {
	return count(m.Samples, "sample", "samples") + ", " + classesOf(m)
}

func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func classesOf(m *ingest.Manifest) string {
	if len(m.Classes) == 0 {
		return "no class names"
	}
	return count(int64(len(m.Classes)), "class", "classes")
}

// shownReasons are the reasons that a line has room for.
const shownReasons = 6

// briefly is a survey in one line. Of a long one it names the reasons that concern most
// files, and the command that lists the rest.
func briefly(uri, split string, passed ingest.Survey) string {
	if len(passed) <= shownReasons {
		return passed.String()
	}
	most := passed.Largest(shownReasons)
	reasons := strings.TrimPrefix(most.String(), fmt.Sprintf("passed over %d: ", most.Count()))
	return fmt.Sprintf("passed over %d: %s; and %s: `resslt shards ls --data '%s' --split %s` lists them", passed.Count(), reasons,
		count(int64(len(passed)-shownReasons), "more reason", "more reasons"), uri, split)
}

// DescribeOpened is Opened for a worker's source, "" for one that OpenSource did not return.
func DescribeOpened(src produce.Source) string {
	if s, ok := src.(interface{ opened() string }); ok {
		return s.opened()
	}
	return ""
}

func (s *source) opened() string { return Opened(s.uri, s.data.Source) }
