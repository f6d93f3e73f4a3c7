package schemas

import "testing"

// One thing is said in the singular.
func TestThings(t *testing.T) {
	for many, one := range map[string]string{
		"files with another extension (.txt)":                    "file with another extension (.txt)",
		"files without a known extension":                        "file without a known extension",
		"pictures in a format that is not read (.avif)":          "picture in a format that is not read (.avif)",
		"archives, which are not looked into (.tar)":             "archive, which is not looked into (.tar)",
		"lists of labels, which are not read":                    "list of labels, which is not read",
		"labels without an image":                                "label without an image",
		"folders that are not those of the splits":               "folder that is not one of the splits'",
		"folders without an image, beside those of the splits":   "folder without an image, beside those of the splits",
		"images beside the folders of the split":                 "image beside the folders of the split",
		"class folders without an image":                         "class folder without an image",
		"links to a folder above":                                "link to a folder above",
		"links that lead nowhere":                                "link that leads nowhere",
		"empty files (0 bytes)":                                  "empty file (0 bytes)",
		"pipes, sockets and devices":                             "pipe, socket or device",
		"hidden files":                                           "hidden file",
		"hidden folders":                                         "hidden folder",
		"AppleDouble files of macOS (._)":                        "AppleDouble file of macOS (._)",
		"folders of the system (__MACOSX)":                       "folder of the system (__MACOSX)",
		"rows without an image":                                  "row without an image",
		"rows whose image is a path without bytes":               "row whose image is a path without bytes",
		"columns of texts that are no class names":               "column of texts that are no class names",
		"columns that are no class label, utf8":                  "column that is no class label, utf8",
		"files whose names say no split, beside those of splits": "file whose name says no split, beside those of splits",
		"compressed copies of tars":                              "compressed copy of a tar",
		"copies of other files":                                  "copy of another file",
		"copies of other shards":                                 "copy of another shard",
		"files beside tars (.idx)":                               "file beside tars (.idx)",
		"files beside Parquet files (no extension)":              "file beside Parquet files (no extension)",
		"members about the shard (__NAME__)":                     "member about the shard (__NAME__)",
		"members that are no files":                              "member that is no file",
		"links to no member of the tar":                          "link to no member of the tar",
		"samples without an image":                               "sample without an image",
		"labels of samples that have one":                        "label of a sample that has one",
		"other members of samples (.txt)":                        "other member of samples (.txt)",
		"pictures beside the image of a sample (.png)":           "picture beside the image of a sample (.png)",
		"things of kind 3":                                       "thing of kind 3",
		"what has no plural":                                     "what has no plural",
		"":                                                       "",
	} {
		if got := (PassedOver{Reason: many, Count: 1}).Things(); got != one {
			t.Errorf("%q: got %q, want %q", many, got, one)
		}
		if got := (PassedOver{Reason: many, Count: 2}).Things(); got != many {
			t.Errorf("%q: two are %q", many, got)
		}
	}
}
