// Command parquetgo writes the Parquet files of the tests by another writer than
// Arrow's: two files of seven images each, as Hugging Face's library lays them out,
// with snappy, small pages and row groups of three. A module of its own, so that
// the writer is no dependency of resslt: cd here, go run .
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"

	"github.com/parquet-go/parquet-go"
)

type image struct {
	Bytes []byte `parquet:"bytes,optional,plain"`
	Path  string `parquet:"path,optional,plain"`
}

type row struct {
	Image *image `parquet:"image,optional"`
	Label int64  `parquet:"label,plain"`
}

const huggingface = `{"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["tench", "goldfish"], "_type": "ClassLabel"}}}}`

func main() {
	for f := range 2 {
		var out bytes.Buffer
		w := parquet.NewGenericWriter[row](&out, parquet.Compression(&parquet.Snappy), parquet.PageBufferSize(700),
			parquet.MaxRowsPerRowGroup(3), parquet.KeyValueMetadata("huggingface", huggingface))
		for i := range 7 {
			id := 7*f + i
			data := append([]byte{0xff, 0xd8, 0xff, byte(i)}, bytes.Repeat([]byte{byte(id), byte(3 * id)}, 200+100*i)...)
			if _, err := w.Write([]row{{&image{data, fmt.Sprintf("%d.jpg", id)}, int64(i % 2)}}); err != nil {
				log.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(fmt.Sprintf("train-%05d-of-00002.parquet", f), out.Bytes(), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
