// A worker in Go, library only: go run worker.go TYPE. One job at a time, {"seconds": 2, "fail":
// "why"}; the first SIGTERM lets it end.
package main

import "bytes"
import "context"
import "encoding/json"
import "fmt"
import "net/http"
import "os"
import "os/signal"
import "syscall"
import "time"

type object = map[string]any
type answer struct {
	Jobs      []object
	Directive string
}

const lease = 10 // seconds

// The job itself: its output, or an error; ctx is done when it has to stop.
func work(ctx context.Context, input object) (any, error) {
	seconds, _ := input["seconds"].(float64)
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(seconds * float64(time.Second))):
	}
	if why := input["fail"]; why != nil {
		return nil, fmt.Errorf("%v", why)
	}
	return object{"by": "go"}, ctx.Err()
}

func call(ctx context.Context, path string, body object) (told answer, err error) {
	host, _ := os.Hostname()
	body["worker"] = fmt.Sprintf("%s/%d", host, os.Getpid())
	data, _ := json.Marshal(body)
	url := os.Getenv("TRIO_JOBS_SERVER") + "/worker/" + path
	request, err := http.NewRequestWithContext(ctx, "POST", url, bytes.NewReader(data))
	if err != nil {
		return
	}
	request.Header.Set("Content-Type", "application/json")
	if token := os.Getenv("TRIO_JOBS_TOKEN"); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	defer reply.Body.Close()
	if reply.StatusCode != 200 {
		return told, fmt.Errorf("%s", reply.Status)
	}
	return told, json.NewDecoder(reply.Body).Decode(&told)
}

// Heartbeats, until the job has ended; they end it when it has to, or is lost.
func keep(ctx context.Context, stop func(), job object) {
	for ctx.Err() == nil {
		time.Sleep(lease * time.Second / 5)
		told, err := call(ctx, "heartbeat", object{"jobs": []object{job}})
		if err == nil && (told.Jobs[0]["ok"] != true || told.Jobs[0]["cancel"] != nil) {
			stop()
		}
	}
}

func run(job object) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	end := object{"id": job["id"], "lease_token": job["lease_token"]}
	go keep(ctx, stop, object{"id": job["id"], "lease_token": job["lease_token"]})
	input, _ := job["input"].(object)
	output, err := work(ctx, input)
	if end["outcome"] = "done"; ctx.Err() != nil {
		end["outcome"] = "cancelled"
	} else if err != nil {
		end["outcome"], end["error"] = "fail", err.Error()
	} else {
		end["output"] = output
	}
	for try := 0; try < 5; try++ { // the same end may be said twice
		if _, err := call(context.Background(), "settle", object{"jobs": []object{end}}); err == nil {
			return
		}
		time.Sleep(time.Second)
	}
}

func main() {
	leaving, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	for leaving.Err() == nil {
		told, err := call(leaving, "claim", object{"types": os.Args[1:2], "lease": lease, "wait": 20})
		for _, job := range told.Jobs {
			run(job)
		}
		if told.Directive == "stop" {
			return
		} else if err != nil && leaving.Err() == nil {
			time.Sleep(time.Second)
		}
	}
}
