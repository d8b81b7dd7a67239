// The anthropic-sdk-go package.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

var (
	url     = os.Getenv("SPACE_URL")
	key     = os.Getenv("SPACE_KEY")
	prompts = map[string]string{}
	ctx     = context.Background()
)

type outcome = map[string]any

func client(key string) anthropic.Client {
	return anthropic.NewClient(option.WithBaseURL(url), option.WithAPIKey(key), option.WithMaxRetries(0))
}

func model() anthropic.Model {
	if name := os.Getenv("SPACE_MODEL"); name != "" {
		return anthropic.Model(name)
	}
	return "guide"
}

func asked(name string) anthropic.MessageNewParams {
	messages := []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(prompts[name]))}
	return anthropic.MessageNewParams{Model: model(), MaxTokens: 200, Messages: messages}
}

func tool(name string, properties map[string]any) anthropic.ToolUnionParam {
	schema := anthropic.ToolInputSchemaParam{Properties: properties, Required: slices.Collect(maps.Keys(properties))}
	return anthropic.ToolUnionParam{OfTool: &anthropic.ToolParam{Name: name, InputSchema: schema}}
}

func create(key string, params anthropic.MessageNewParams) (*anthropic.Message, error) {
	c := client(key)
	return c.Messages.New(ctx, params)
}

func text(key string, params anthropic.MessageNewParams) (any, error) {
	message, err := create(key, params)
	if err != nil {
		return nil, err
	}
	var all strings.Builder
	for _, block := range message.Content {
		all.WriteString(block.Text)
	}
	return all.String(), nil
}

// stream returns the text that came, and the error that ended it; after `cancel` pieces it is closed.
func stream(name string, cancel int) (string, error) {
	c := client(key)
	events := c.Messages.NewStreaming(ctx, asked(name))
	defer events.Close()
	var all strings.Builder
	for count := 0; events.Next(); {
		if delta, is := events.Current().AsAny().(anthropic.ContentBlockDeltaEvent); is && delta.Delta.Text != "" {
			all.WriteString(delta.Delta.Text)
			count++
		}
		if cancel > 0 && count >= cancel {
			break
		}
	}
	return all.String(), events.Err()
}

func tools() (any, error) {
	params := asked("tools")
	params.Tools = []anthropic.ToolUnionParam{tool("weather", map[string]any{"city": map[string]string{"type": "string"}})}
	message, err := create(key, params)
	if err != nil {
		return nil, err
	}
	params.Messages = append(params.Messages, message.ToParam())
	results := []anthropic.ContentBlockParamUnion{}
	for _, block := range message.Content {
		if call, is := block.AsAny().(anthropic.ToolUseBlock); is {
			var given struct{ City string }
			if err := json.Unmarshal(call.Input, &given); err != nil {
				return nil, err
			}
			result := strings.ReplaceAll(prompts["tool_result"], "CITY", given.City)
			results = append(results, anthropic.NewToolResultBlock(call.ID, result, false))
		}
	}
	params.Messages = append(params.Messages, anthropic.NewUserMessage(results...))
	return text(key, params)
}

func structured() (any, error) {
	params := asked("structured_by_tool")
	properties := map[string]any{"name": map[string]string{"type": "string"}, "age": map[string]string{"type": "integer"}}
	params.Tools = []anthropic.ToolUnionParam{tool("person", properties)}
	params.ToolChoice = anthropic.ToolChoiceParamOfTool("person")
	message, err := create(key, params)
	if err != nil {
		return nil, err
	}
	for _, block := range message.Content {
		if call, is := block.AsAny().(anthropic.ToolUseBlock); is {
			return json.RawMessage(call.Input), nil
		}
	}
	return nil, errors.New("no call")
}

func described(err error) outcome {
	var refused *anthropic.Error
	status, words := 0, err.Error()
	if errors.As(err, &refused) {
		status, words = refused.StatusCode, words+" "+refused.RawJSON()
	}
	return outcome{"kind": fmt.Sprintf("%T", err), "status": status, "words": words}
}

func main() {
	if err := json.Unmarshal([]byte(os.Getenv("PROMPTS")), &prompts); err != nil {
		panic(err)
	}
	absent := asked("chat")
	absent.Model = "absent"
	cases := []struct {
		name string
		run  func() (any, error)
	}{
		{"chat", func() (any, error) { return text(key, asked("chat")) }},
		{"cancel", func() (any, error) { return stream("cancel", 1) }},
		{"tools", tools},
		{"structured", structured},
		{"wrong_key", func() (any, error) { return text("wrong", asked("chat")) }},
		{"absent_model", func() (any, error) { return text(key, absent) }},
		{"fails_before", func() (any, error) { return text(key, asked("fails_before")) }},
		{"fails_midway", func() (any, error) { return stream("fails_midway", 0) }},
		{"fails_late", func() (any, error) { return text(key, asked("fails_late")) }},
		{"silence", func() (any, error) { return stream("silence", 0) }},
	}
	outcomes := map[string]outcome{}
	for _, each := range cases {
		began := time.Now()
		value, err := each.run()
		told := outcome{"value": value}
		if err != nil {
			told = outcome{"text": value, "error": described(err)}
		}
		told["seconds"] = time.Since(began).Seconds()
		outcomes[each.name] = told
	}
	encoded, _ := json.Marshal(outcomes)
	fmt.Println(string(encoded))
}
