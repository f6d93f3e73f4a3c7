package objective

import "resslt/train/torch"

// lloydSteps is how often the centroids move: faiss's niter in PCL's code (main_pcl.py).
const lloydSteps = 20

// assignCells bounds rows·k of a matrix that k-means computes at once.
const assignCells = 1 << 24

// clustering is what kmeans gives of x (N,D).
type clustering struct {
	centroids *torch.Tensor // (k,D)
	labels    *torch.Tensor // (N) int64: the nearest centroid
	members   *torch.Tensor // (k): rows of each
	spread    *torch.Tensor // (k): the sum of their Euclidean distances to it
}

// kmeans is Lloyd's algorithm, from the rows of x (N,D) whose numbers start (k) has. A centroid
// without rows stays where it is. There is no random number, no reading by the host, and no
// atomic addition: sums are products with one-hot rows, so that ranks agree and a run repeats.
func kmeans(x, start *torch.Tensor) (out clustering) {
	torch.ScopeN(func() []*torch.Tensor {
		c := torch.IndexSelect(x, 0, start)
		for range lloydSteps {
			c = torch.Scope(func() *torch.Tensor { return moved(x, c) })
		}
		out = settled(x, c)
		return []*torch.Tensor{out.centroids, out.labels, out.members, out.spread}
	})
	return out
}

// chunks calls f for consecutive rows of x that have room for k cells each.
func chunks(x *torch.Tensor, k int64, f func(rows *torch.Tensor)) {
	n, most := x.Size(0), max(1, assignCells/k)
	for from := int64(0); from < n; from += most {
		torch.ScopeDo(func() { f(torch.Narrow(x, 0, from, min(most, n-from))) })
	}
}

// nearest are for rows (n,D) the numbers of their nearest centroids (k,D), and the same as
// one-hot rows (n,k). |x − c|² is least where x·c − |c|²/2 is greatest.
func nearest(rows, c *torch.Tensor) (labels, members *torch.Tensor) {
	half := torch.MulScalar(torch.SumDim(torch.Square(c), []int64{1}, false, torch.Unset), 0.5)
	scores := torch.Sub(similarities(rows, c), half, 1)
	labels = torch.Argmax(scores, &last, false)
	return labels, oneHot(torch.Unsqueeze(labels, 1), scores)
}

// moved are the means of the rows that are nearest to each centroid.
func moved(x, c *torch.Tensor) *torch.Tensor {
	k := c.Size(0)
	sums, members := torch.ZerosLike(c), torch.Zeros([]int64{k, 1}, c.DType(), c.Device())
	chunks(x, k, func(rows *torch.Tensor) {
		_, own := nearest(rows, c)
		torch.Add_(sums, torch.Mm(torch.T(own), rows), 1)
		torch.Add_(members, torch.Unsqueeze(torch.SumDim(own, []int64{0}, false, torch.Unset), 1), 1)
	})
	return torch.Where(torch.GtScalar(members, 0), torch.Div(sums, torch.ClampMin(members, 1)), c)
}

// recluster clusters the bank into so many clusters each, beginning with other rows each time: the
// order of that name chooses them. It keeps the samples' labels, and hands the rest to keep, if any.
func recluster(s State, clusters []int, order func(string) *torch.Tensor, name func(int) string, keep func(i int, c clustering)) {
	for i, k := range clusters {
		torch.ScopeDo(func() {
			c := kmeans(s[bankName], torch.Narrow(order(name(i)), 0, 0, int64(k)))
			torch.Copy_(torch.Select(s[labelsName], 0, int64(i)), c.labels, false)
			if keep != nil {
				keep(i, c)
			}
		})
	}
}

// settled is the clustering by centroids that stay.
func settled(x, c *torch.Tensor) clustering {
	k := c.Size(0)
	out := clustering{centroids: c, members: torch.Zeros([]int64{k}, c.DType(), c.Device()), spread: torch.Zeros([]int64{k}, c.DType(), c.Device())}
	out.labels = torch.Zeros([]int64{x.Size(0)}, torch.Int64, c.Device())
	at := int64(0)
	chunks(x, k, func(rows *torch.Tensor) {
		labels, own := nearest(rows, c)
		n := rows.Size(0)
		torch.Copy_(torch.Narrow(out.labels, 0, at, n), labels, false)
		at += n
		distances := torch.LinalgVectorNorm(torch.Sub(rows, torch.IndexSelect(c, 0, labels), 1), 2, []int64{1}, true, torch.Unset)
		torch.Add_(out.members, torch.SumDim(own, []int64{0}, false, torch.Unset), 1)
		torch.Add_(out.spread, torch.Reshape(torch.Mm(torch.T(own), distances), []int64{k}), 1)
	})
	return out
}

// clusters are the numbers of clusters of each clustering: those that are asked for, or one for
// every so many samples.
func (o Options) clusters(samples ...int) []int {
	if len(o.Clusters) > 0 {
		return o.Clusters
	}
	var out []int
	for _, n := range samples {
		out = append(out, max(2, o.Samples/n))
	}
	return out
}

// labels declares a buffer (clusterings,N) int64 for each sample's cluster.
func (o Options) labels(clusterings int) Tensor {
	return Tensor{Name: labelsName, Shape: []int64{int64(clusterings), int64(o.Samples)}, Whole: true}
}

const labelsName = "labels"
