import static java.util.Objects.requireNonNull;

import imagedepot.ApiClient;
import imagedepot.ApiException;
import imagedepot.api.FilesApi;
import imagedepot.api.ImagesApi;
import imagedepot.api.PromotionApi;
import imagedepot.api.RevisionsApi;
import imagedepot.api.UpdatesApi;
import imagedepot.api.UploadsApi;
import imagedepot.model.Action;
import imagedepot.model.AnswerOrProblem;
import imagedepot.model.FileRole;
import imagedepot.model.ImageKind;
import imagedepot.model.ImageToCreate;
import imagedepot.model.PageImage;
import imagedepot.model.PromotionToCreate;
import imagedepot.model.Question;
import imagedepot.model.RevisionFile;
import imagedepot.model.RevisionState;
import imagedepot.model.RevisionWords;
import imagedepot.model.Upload;
import imagedepot.model.UploadToCreate;
import java.io.File;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;

/**
 * Leads an image through its life with the client that openapi-generator makes for Java (library native).
 *
 * <p>Arguments: the server's address, a user's name and password, the .ckm file, the .ckm.index file.
 */
public final class LifeOfAnImage {
  private static final String IMAGE = "win7-office";

  private final ApiClient administrator = new ApiClient();
  private final String login;
  private BodyPublisher bytesOfTheNextRequest;

  private LifeOfAnImage(String server, String user, String password) {
    login = "Basic " + Base64.getEncoder().encodeToString((user + ":" + password).getBytes(StandardCharsets.UTF_8));
    administrator.updateBaseUri(server);
    administrator.setRequestInterceptor(this::mend);
  }

  public static void main(String[] arguments) throws Exception {
    LifeOfAnImage life = new LifeOfAnImage(arguments[0], arguments[1], arguments[2]);
    long revision = life.upload(Path.of(arguments[3]), Path.of(arguments[4]));
    life.promote(revision);
    askForUpdates(arguments[0], revision);
    life.download(revision, FileRole.CKM, Path.of(arguments[3]));
    life.download(revision, FileRole.INDEX, Path.of(arguments[4]));
    System.out.println(IMAGE + " " + revision + " is published");
  }

  /** The generated client sends no credentials, and writes a file as the JSON text of its path: both is mended on the way. */
  private void mend(HttpRequest.Builder request) {
    request.header("Authorization", login);
    if (bytesOfTheNextRequest != null) {
      request.method(request.copy().build().method(), bytesOfTheNextRequest);
      bytesOfTheNextRequest = null;
    }
  }

  private long upload(Path ckm, Path index) throws Exception {
    ImagesApi images = new ImagesApi(administrator);
    try {
      images.getImage(IMAGE);
      throw new AssertionError("there is an image already");
    } catch (ApiException refused) {
      check(refused.getCode() == 404 && refused.getResponseBody().contains("image_not_found"), refused);
    }
    images.createImage(new ImageToCreate().name(IMAGE).kind(ImageKind.MEDV));
    PageImage page = images.listImages(10, null, null, null, null, null);
    check(page.getItems().get(0).getName().equals(IMAGE), page);

    RevisionsApi revisions = new RevisionsApi(administrator);
    long revision = revisions.createRevision(IMAGE, new RevisionWords().notes("by a program")).getNumber();
    bytesOfTheNextRequest = BodyPublishers.ofFile(ckm);
    RevisionFile file = new FilesApi(administrator).putFile(IMAGE, revision, FileRole.CKM, ckm.toFile());
    check(file.getSize() == Files.size(ckm), file);
    uploadInParts(revision, index);
    check(revisions.sealRevision(IMAGE, revision, null).getState() == RevisionState.READY, "not ready");
    return revision;
  }

  private void uploadInParts(long revision, Path path) throws Exception {
    byte[] bytes = Files.readAllBytes(path);
    int half = bytes.length / 2;
    UploadsApi uploads = new UploadsApi(administrator);
    UploadToCreate announced =
        new UploadToCreate().image(IMAGE).revision(revision).role(FileRole.INDEX).size((long) bytes.length);
    Upload upload = uploads.createUpload(announced, null, null, null, null, null, null, null, null);
    File none = new File("none");
    bytesOfTheNextRequest = BodyPublishers.ofByteArray(bytes, 0, half);
    uploads.appendToUpload(upload.getId(), none, 0L, "?0", null, null);
    long received = uploads.getUpload(upload.getId()).getReceived();
    check(received == half, received);
    bytesOfTheNextRequest = BodyPublishers.ofByteArray(bytes, half, bytes.length - half);
    RevisionFile file = uploads.appendToUpload(upload.getId(), none, received, "?1", null, null);
    check(file.getSize() == bytes.length, file);
  }

  private void promote(long revision) throws ApiException {
    PromotionApi promotion = new PromotionApi(administrator);
    promotion.promote(IMAGE, "production", new PromotionToCreate().revision(revision), null, null);
    check(promotion.getAssignment(IMAGE, "production").getRevision() == revision, "not assigned");
  }

  /** A client machine has no credentials. */
  private static void askForUpdates(String server, long revision) throws ApiException {
    ApiClient machine = new ApiClient();
    machine.updateBaseUri(server);
    UpdatesApi updates = new UpdatesApi(machine);
    var told = updates.checkForUpdate(IMAGE, "production", null, "pc-1", null);
    check(told.getAction() == Action.UPDATE && told.getTarget().getRevision() == revision, told);
    List<AnswerOrProblem> answers =
        updates.checkForUpdates(List.of(new Question().image(IMAGE), new Question().image("none"))).getItems();
    check(answers.get(0).getAction() == Action.UPDATE && answers.get(0).getProblem() == null, answers);
    check(requireNonNull(answers.get(1).getProblem()).getCode().equals("image_not_found"), answers);
  }

  private void download(long revision, FileRole role, Path sent) throws Exception {
    File fetched = new FilesApi(administrator).getFile(IMAGE, revision, role);
    check(Arrays.equals(Files.readAllBytes(fetched.toPath()), Files.readAllBytes(sent)), "other bytes");
    Files.delete(fetched.toPath());
  }

  private static void check(boolean holds, Object found) {
    if (!holds) {
      throw new AssertionError(found);
    }
  }
}
