// The clients that Pyroscope generates for its API (profilecli and Grafana use the same): push a profile with them and
// ask every method of the querier, in each way that a client may talk. One line of JSON: for each way the answers by
// method, as protobuf's JSON, or {"error": code, "message": text}.
//
//	program DISTRIBUTOR QUERIER
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"connectrpc.com/connect"
	googlev1 "github.com/grafana/pyroscope/api/gen/proto/go/google/v1"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	"github.com/grafana/pyroscope/api/gen/proto/go/push/v1/pushv1connect"
	querierv1 "github.com/grafana/pyroscope/api/gen/proto/go/querier/v1"
	"github.com/grafana/pyroscope/api/gen/proto/go/querier/v1/querierv1connect"
	typesv1 "github.com/grafana/pyroscope/api/gen/proto/go/types/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	cpu      = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
	selector = `{service_name="interop"}`
)

// Its time is a whole second, so that the grid of a timeline is known.
var pushed = time.Now().Truncate(time.Second)

// main calls serve (self 30) and work (self 70), which is on two lines of its file.
func profile() *googlev1.Profile {
	p := &googlev1.Profile{
		StringTable: []string{"", "cpu", "nanoseconds", "main", "serve", "work", "main.go", "/bin/app"},
		SampleType:  []*googlev1.ValueType{{Type: 1, Unit: 2}},
		PeriodType:  &googlev1.ValueType{Type: 1, Unit: 2},
		Period:      10_000_000, TimeNanos: pushed.UnixNano(), DurationNanos: 10e9,
		Mapping: []*googlev1.Mapping{{Id: 1, Filename: 7, HasFunctions: true}},
	}
	for i, name := range []int64{3, 4, 5} {
		p.Function = append(p.Function, &googlev1.Function{Id: uint64(i + 1), Name: name, SystemName: name, Filename: 6})
	}
	for i, at := range []struct {
		function uint64
		line     int64
	}{{1, 10}, {2, 20}, {3, 30}, {3, 31}} {
		p.Location = append(p.Location, &googlev1.Location{Id: uint64(i + 1), MappingId: 1,
			Line: []*googlev1.Line{{FunctionId: at.function, Line: at.line}}})
	}
	p.Sample = []*googlev1.Sample{
		{LocationId: []uint64{2, 1}, Value: []int64{30}},
		{LocationId: []uint64{3, 1}, Value: []int64{50}},
		{LocationId: []uint64{4, 1}, Value: []int64{20}},
	}
	return p
}

func push(url, pod string, options ...connect.ClientOption) error {
	raw, err := proto.Marshal(profile())
	if err != nil {
		return err
	}
	labels := []*typesv1.LabelPair{{Name: "__name__", Value: "process_cpu"}, {Name: "service_name", Value: "interop"},
		{Name: "pod", Value: pod}}
	_, err = pushv1connect.NewPusherServiceClient(http.DefaultClient, url, options...).Push(context.Background(),
		connect.NewRequest(&pushv1.PushRequest{Series: []*pushv1.RawProfileSeries{
			{Labels: labels, Samples: []*pushv1.RawSample{{RawProfile: raw}}}}}))
	return err
}

// One method's answer under its name.
func put[Q, A any](out map[string]any, name string, call func(context.Context, *connect.Request[Q]) (*connect.Response[A], error), request *Q) {
	answer, err := call(context.Background(), connect.NewRequest(request))
	var refused *connect.Error
	if errors.As(err, &refused) {
		out[name] = map[string]string{"error": refused.Code().String(), "message": refused.Message()}
		return
	}
	text, err := protojson.Marshal(any(answer.Msg).(proto.Message))
	if err != nil {
		panic(err)
	}
	out[name] = json.RawMessage(text)
	out[name+" completeness"] = answer.Header().Get("X-Pyroscope-Completeness")
}

func ask(url string, options ...connect.ClientOption) map[string]any {
	c := querierv1connect.NewQuerierServiceClient(http.DefaultClient, url, options...)
	from, until, out := pushed.Add(-10*time.Minute).UnixMilli(), pushed.UnixMilli(), map[string]any{}
	stacks := func(format querierv1.ProfileFormat, site ...*typesv1.Location) *querierv1.SelectMergeStacktracesRequest {
		return &querierv1.SelectMergeStacktracesRequest{ProfileTypeID: cpu, LabelSelector: selector, Start: from, End: until,
			Format: format, StackTraceSelector: &typesv1.StackTraceSelector{CallSite: site}}
	}
	flame, work := querierv1.ProfileFormat_PROFILE_FORMAT_FLAMEGRAPH, []*typesv1.Location{{Name: "main"}, {Name: "work"}}
	pprof, tree := querierv1.ProfileFormat_PROFILE_FORMAT_PPROF, querierv1.ProfileFormat_PROFILE_FORMAT_TREE
	put(out, "ProfileTypes", c.ProfileTypes, &querierv1.ProfileTypesRequest{Start: from, End: until})
	put(out, "LabelNames", c.LabelNames, &typesv1.LabelNamesRequest{Matchers: []string{selector}, Start: from, End: until})
	put(out, "LabelValues", c.LabelValues, &typesv1.LabelValuesRequest{Name: "pod", Matchers: []string{selector}, Start: from, End: until})
	put(out, "Series", c.Series, &querierv1.SeriesRequest{Matchers: []string{selector}, LabelNames: []string{"pod"}, Start: from, End: until})
	put(out, "flame graph", c.SelectMergeStacktraces, stacks(flame))
	put(out, "flame graph of a call site", c.SelectMergeStacktraces, stacks(flame, work...))
	put(out, "tree", c.SelectMergeStacktraces, stacks(tree))
	put(out, "pprof", c.SelectMergeStacktraces, stacks(pprof))
	put(out, "pprof of a call site", c.SelectMergeStacktraces, stacks(pprof, work...))
	one := stacks(pprof)
	one.MaxNodes = proto.Int64(1)
	put(out, "pprof of one node", c.SelectMergeStacktraces, one)
	put(out, "profile", c.SelectMergeProfile, &querierv1.SelectMergeProfileRequest{ProfileTypeID: cpu, LabelSelector: selector,
		Start: from, End: until})
	series := &querierv1.SelectSeriesRequest{ProfileTypeID: cpu, LabelSelector: selector, Start: from, End: until, Step: 60,
		GroupBy: []string{"pod"}}
	put(out, "series", c.SelectSeries, series)
	put(out, "stats", c.GetProfileStats, &typesv1.GetProfileStatsRequest{})

	pgo, async, spans, exemplars := stacks(pprof), stacks(tree), stacks(flame), proto.Clone(series).(*querierv1.SelectSeriesRequest)
	pgo.StackTraceSelector.GoPgo = &typesv1.GoPGO{KeepLocations: 5}
	async.Async = &querierv1.AsyncQueryRequest{Type: querierv1.AsyncQueryType_ASYNC_QUERY_TYPE_FORCE}
	spans.SpanSelector = []string{"00000bac2a5ab0c7"}
	exemplars.ExemplarType = typesv1.ExemplarType_EXEMPLAR_TYPE_INDIVIDUAL
	put(out, "not served: PGO", c.SelectMergeStacktraces, pgo)
	put(out, "not served: asynchronous", c.SelectMergeStacktraces, async)
	put(out, "not served: spans", c.SelectMergeStacktraces, spans)
	put(out, "not served: DOT", c.SelectMergeStacktraces, stacks(querierv1.ProfileFormat_PROFILE_FORMAT_DOT))
	put(out, "not served: exemplars", c.SelectSeries, exemplars)
	put(out, "not served: span profile", c.SelectMergeSpanProfile, &querierv1.SelectMergeSpanProfileRequest{})
	put(out, "not served: heatmap", c.SelectHeatmap, &querierv1.SelectHeatmapRequest{})
	put(out, "not served: diff", c.Diff, &querierv1.DiffRequest{Left: stacks(flame), Right: stacks(flame)})
	put(out, "not served: analysis", c.AnalyzeQuery, &querierv1.AnalyzeQueryRequest{})
	put(out, "wrong: no range", c.SelectMergeStacktraces, &querierv1.SelectMergeStacktracesRequest{ProfileTypeID: cpu, LabelSelector: selector})
	put(out, "wrong: selector", c.LabelNames, &typesv1.LabelNamesRequest{Matchers: []string{`{a="`}, Start: from, End: until})
	return out
}

func main() {
	distributor, querier := os.Args[1], os.Args[2]
	ways := []struct {
		name    string
		options []connect.ClientOption
	}{
		{"protobuf", nil},
		{"protobuf gzip", []connect.ClientOption{connect.WithSendGzip()}},
		{"protobuf answers plain", []connect.ClientOption{connect.WithAcceptCompression("gzip", nil, nil)}},
		{"json", []connect.ClientOption{connect.WithProtoJSON()}},
		{"json gzip", []connect.ClientOption{connect.WithProtoJSON(), connect.WithSendGzip()}},
	}
	for _, way := range ways {
		if err := push(distributor, way.name, way.options...); err != nil {
			fmt.Fprintln(os.Stderr, way.name, err)
			os.Exit(1)
		}
	}
	out := map[string]any{}
	for _, way := range ways {
		out[way.name] = ask(querier, way.options...)
	}
	out["grpc"] = ask(querier, connect.WithGRPC())
	out["grpc-web"] = ask(querier, connect.WithGRPCWeb())
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		panic(err)
	}
}
