// Runs one task of the queue "default" with asynq, prints its type and payload, and ends. With FAIL set, the attempt fails.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/hibiken/asynq"
)

func main() {
	ran := make(chan string, 1)
	run := func(_ context.Context, task *asynq.Task) error {
		select {
		case ran <- task.Type() + " " + string(task.Payload()):
		default:
		}
		if os.Getenv("FAIL") != "" {
			return errors.New("not yet")
		}
		return nil
	}
	redis := asynq.RedisClientOpt{Addr: os.Getenv("REDIS_ADDR")}
	queues := map[string]int{"default": 1}
	server := asynq.NewServer(redis, asynq.Config{Concurrency: 1, Queues: queues, LogLevel: asynq.FatalLevel})
	if err := server.Start(asynq.HandlerFunc(run)); err != nil {
		log.Fatal(err)
	}
	text := <-ran
	server.Shutdown()
	fmt.Print(text)
}
