// Leads an image through its life with the client that openapi-generator makes for Go.
//
// Arguments: the server's address, a user's name and password, the .ckm file, the .ckm.index file.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	depot "imagedepot"
)

const image = "win7-office"

func main() {
	log.SetFlags(log.Lshortfile)
	server, user, password, ckm, index := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	settings := depot.NewConfiguration()
	settings.Servers = depot.ServerConfigurations{{URL: server}}
	client := depot.NewAPIClient(settings)
	login := depot.BasicAuth{UserName: user, Password: password}
	administrator := context.WithValue(context.Background(), depot.ContextBasicAuth, login)

	revision := upload(administrator, client, ckm, index)
	order := depot.NewPromotionToCreate(revision)
	_, _, err := client.PromotionAPI.Promote(administrator, image, "production").PromotionToCreate(*order).Execute()
	must(err)
	assigned, _, err := client.PromotionAPI.GetAssignment(administrator, image, "production").Execute()
	must(err)
	check(assigned.Revision == revision, assigned)

	askForUpdates(client, revision)
	for role, path := range map[depot.FileRole]string{depot.CKM: ckm, depot.INDEX: index} {
		fetched, _, err := client.FilesAPI.GetFile(administrator, image, revision, role).Execute()
		must(err)
		check(bytes.Equal(read(fetched.Name()), read(path)), "other bytes than were uploaded")
		must(os.Remove(fetched.Name()))
	}
	fmt.Printf("%s %d is published\n", image, revision)
}

func upload(administrator context.Context, client *depot.APIClient, ckm, index string) int64 {
	_, _, err := client.ImagesAPI.GetImage(administrator, image).Execute()
	var refused *depot.GenericOpenAPIError
	check(errors.As(err, &refused), err)
	problem, isProblem := refused.Model().(depot.Problem)
	check(isProblem && problem.Code == "image_not_found", refused.Model())

	create := depot.NewImageToCreate(depot.MEDV, image)
	_, _, err = client.ImagesAPI.CreateImage(administrator).ImageToCreate(*create).Execute()
	must(err)
	page, _, err := client.ImagesAPI.ListImages(administrator).Limit(10).Execute()
	must(err)
	check(page.Items[0].Name == image, page)
	words := depot.NewRevisionWords()
	words.SetNotes("by a program")
	draft, _, err := client.RevisionsAPI.CreateRevision(administrator, image).RevisionWords(*words).Execute()
	must(err)

	whole, err := os.Open(ckm)
	must(err)
	file, _, err := client.FilesAPI.PutFile(administrator, image, draft.Number, depot.CKM).Body(whole).Execute()
	must(err)
	check(file.Size == int64(len(read(ckm))), file)
	uploadInParts(administrator, client, draft.Number, index)
	sealed, _, err := client.RevisionsAPI.SealRevision(administrator, image, draft.Number).Execute()
	must(err)
	check(sealed.State == depot.READY, sealed)
	return draft.Number
}

func uploadInParts(administrator context.Context, client *depot.APIClient, revision int64, path string) {
	content := read(path)
	size, half := int64(len(content)), int64(len(content)/2)
	announced := depot.NewUploadToCreate(image, revision, depot.INDEX, size)
	upload, _, err := client.UploadsAPI.CreateUpload(administrator).UploadToCreate(*announced).Execute()
	must(err)
	append := client.UploadsAPI.AppendToUpload(administrator, upload.Id)
	_, _, err = append.UploadOffset(0).UploadComplete("?0").Body(part(content[:half])).Execute()
	must(err)
	upload, _, err = client.UploadsAPI.GetUpload(administrator, upload.Id).Execute()
	must(err)
	check(upload.Received == half, upload)
	file, _, err := append.UploadOffset(half).UploadComplete("?1").Body(part(content[half:])).Execute()
	must(err)
	check(file.Size == size, file)
}

// A client machine has no credentials.
func askForUpdates(client *depot.APIClient, revision int64) {
	machine := context.Background()
	check1 := client.UpdatesAPI.CheckForUpdate(machine).Image(image).Channel("production").Client("pc-1")
	told, _, err := check1.Execute()
	must(err)
	check(told.Action == depot.UPDATE && told.Target.Get().Revision == revision, told)
	questions := []depot.Question{*depot.NewQuestion(image), *depot.NewQuestion("none")}
	answers, _, err := client.UpdatesAPI.CheckForUpdates(machine).Question(questions).Execute()
	must(err)
	check(answers.Items[0].GetAction() == depot.UPDATE && answers.Items[0].Problem == nil, answers)
	check(answers.Items[1].Problem.Code == "image_not_found", answers)
}

// The generated client takes files alone.
func part(content []byte) *os.File {
	file, err := os.CreateTemp("", "part")
	must(err)
	must(os.Remove(file.Name()))
	_, err = file.Write(content)
	must(err)
	_, err = file.Seek(0, 0)
	must(err)
	return file
}

func read(path string) []byte {
	content, err := os.ReadFile(path)
	must(err)
	return content
}

func must(err error) {
	if err != nil {
		var refused *depot.GenericOpenAPIError
		if errors.As(err, &refused) {
			_ = log.Output(2, string(refused.Body()))
		}
		_ = log.Output(2, err.Error())
		os.Exit(1)
	}
}

func check(holds bool, found any) {
	if !holds {
		_ = log.Output(2, fmt.Sprintf("%+v", found))
		os.Exit(1)
	}
}
